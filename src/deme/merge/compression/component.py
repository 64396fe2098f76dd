"""One component of a compressed expert: weight differences for a merge, or the expert's weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...errors import MismatchError
from ..difference import as_expert_stores, difference
from ..sources.contract import DeltaSource, TensorInfo
from .approximate import Approximation, as_matrix
from .exact import decode_exact
from .index import ComponentIndex, CompressedTensor, digest_bytes, digest_tensor
from .metadata import CompressedExpert
from .planes import PayloadReader


class CompressedComponent(DeltaSource):
    """Decodes tensors when they are asked for, against the base's; see :class:`DeltaSource`.

    Args:
        component: its name in the pipeline.
        index: its tensors.
        payloads: by the tensor's name: uint8, mapped from the file.
        expert: what the file says of the expert.
        file: the file.

    """

    def __init__(
        self,
        component: str,
        index: ComponentIndex,
        payloads: Mapping[str, Tensor],
        expert: CompressedExpert,
        file: Path,
    ) -> None:
        self.component = component
        self.origin = str(file)
        self.files = (file,)
        self.error = expert.components[component].error
        """``‖τ̂ − τ‖ / ‖τ‖`` over all tensors, as it was measured; 0 where every bit comes back."""
        self.expert = expert
        """Name, base, range and promise of the expert."""
        self._tensors = index.tensors
        self._payloads = payloads
        self.stored: Mapping[str, TensorInfo] = {
            name: tensor.info for name, tensor in sorted(index.tensors.items())
        }
        """All of the expert's tensors, also those that are the base's, as the expert stores them.
        """
        self.layout = {name: info for name, info in self.stored.items() if name in payloads}

    def read_delta(self, name: str, base: Tensor) -> Tensor:
        """``τ`` of one tensor: float32, newly made; see :meth:`DeltaSource.read_delta`."""
        tensor = self._tensors[name]
        self._require_base(name, tensor, base)
        if tensor.coding == "approximate":
            return self._approximate(name, tensor)
        return difference(self._exact(name, tensor, base), base)

    def restore(self, name: str, base: Tensor) -> Tensor:
        """The expert's own tensor in its own dtype: every bit of it, where coding was exact.

        Args:
            name: one of :attr:`stored`.
            base: ``θ`` of this name as stored.

        Raises:
            StorageError: the file is damaged.
            MismatchError: it was made for another base.

        """
        tensor = self._tensors[name]
        self._require_base(name, tensor, base)
        dtype = tensor.info.dtype
        if tensor.coding == "same":
            return as_expert_stores(base, dtype).clone()
        if tensor.coding == "exact":
            return self._exact(name, tensor, base)
        rounded = as_expert_stores(base, dtype)
        wide = rounded if dtype == torch.float64 else rounded.float()
        return (wide + self._approximate(name, tensor)).to(dtype)

    def _exact(self, name: str, tensor: CompressedTensor, base: Tensor) -> Tensor:
        reader = self._reader(name, tensor)
        decoded = decode_exact(reader, base, tensor.info.dtype)
        reader.finish()
        return decoded

    def _approximate(self, name: str, tensor: CompressedTensor) -> Tensor:
        reader = self._reader(name, tensor)
        shape = as_matrix(tensor.shape)
        decoded = Approximation.unpack(reader, shape)
        reader.finish()
        return decoded.dense(shape).view(tensor.shape)

    def _reader(self, name: str, tensor: CompressedTensor) -> PayloadReader:
        payload = self._payloads[name].numpy().data
        reader = PayloadReader(payload, f"{self.origin} ({self.component}/{name})")
        if digest_bytes(payload) != tensor.payload:
            raise reader.damaged("its bytes are not those that were written")
        return reader

    def _require_base(self, name: str, tensor: CompressedTensor, base: Tensor) -> None:
        # the shape first: it bounds what decoding may allocate, whatever the file says
        if tuple(base.shape) != tensor.shape or digest_tensor(base) != tensor.base:
            raise MismatchError(
                f"{self.origin} was compressed against {self.expert.base_model}, and this base has "
                f"other weights in {self.component}/{name} ({tuple(base.shape)}, {base.dtype})",
                fix=f"give {self.expert.base_model} as the base, in the same precision as then",
            )
