"""Tensors that lie in files, mapped: opening reads headers, reading costs no memory of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from torch import Tensor

from ...errors import ModelError
from .contract import TensorInfo, WeightSource

LONGEST_NAME = 1000


class MappedSource(WeightSource):
    """Named tensors that are there already, as views of mapped files.

    Args:
        tensors: by name; shared, not copied.
        origin: where they come from, for messages.
        files: the files that hold them.
        metadata: what the files say beside the tensors.

    Raises:
        ModelError: a name that could not be shown or written (empty, very long, with line breaks
            or other control characters).

    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        origin: str,
        files: Iterable[Path] = (),
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        for name in tensors:
            if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
                raise ModelError(
                    f"{origin} has a tensor named {name[:80]!r}, which is no name of a weight",
                    fix="give a file from a source that you trust",
                )
        self._tensors = {name: tensors[name] for name in sorted(tensors)}
        self.origin = origin
        self.layout = {
            name: TensorInfo(tuple(tensor.shape), tensor.dtype)
            for name, tensor in self._tensors.items()
        }
        self.files = tuple(files)
        self.metadata = dict(metadata or {})

    def read(self, name: str) -> Tensor:
        """The tensor as it is stored: a view of the mapped file."""
        return self._tensors[name].contiguous()

    def select(self, names: Iterable[str], origin: str | None = None) -> MappedSource:
        """Some of the tensors, under their own names."""
        tensors = {name: self._tensors[name] for name in names}
        return MappedSource(tensors, origin or self.origin, self.files, self.metadata)
