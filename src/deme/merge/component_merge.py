"""Merging one component a tensor at a time, elementwise methods a block of a tensor at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from ..errors import MismatchError
from .bound_method import BoundMethod
from .difference import difference
from .export_loss import ExportLoss
from .places import places_of
from .sources.contract import DeltaSource, Source, TensorInfo, WeightSource
from .sources.digest import TensorDigests

BLOCK = 2**18
"""Elements of a block: base, expert, difference and sum then stay in a core's cache."""
LOOK_INSIDE = "deme inspect counts them in each component; give a model without them"
WORKING_COPIES = {True: 3, False: 8}
"""Tensors of float32 that a method makes beside base and differences, about: one that works
element by element, and one that needs the whole tensor (some hold float64)."""


class Statistics(Protocol):
    """What was collected for one expert: a tensor for each weight, or none."""

    def read(self, name: str) -> Tensor | None:
        """The statistics of one weight."""
        ...


class ComponentMerge:
    """The merge of one component: makes each tensor when it is asked for, and hashes what it reads.

    Args:
        component: its name in the pipeline.
        base: ``θ``.
        experts: one for each expert of the recipe; None for one that leaves this component as it
            is.
        method: the merge method with its settings.
        dtype: how floating-point tensors are stored; None keeps each tensor's own.
        statistics: for each expert, where the method needs them.

    """

    def __init__(
        self,
        component: str,
        base: WeightSource,
        experts: Sequence[Source | None],
        method: BoundMethod,
        *,
        dtype: torch.dtype | None = torch.float32,
        statistics: Sequence[Statistics] = (),
    ) -> None:
        self.component = component
        self.base = base
        self.experts = tuple(experts)
        self.method = method
        self.statistics = tuple(statistics)
        self.places = places_of(component, base.layout)
        self.layout: Mapping[str, TensorInfo] = {
            name: TensorInfo(info.shape, stored_dtype(info.dtype, dtype))
            for name, info in base.layout.items()
        }
        self.base_digests = TensorDigests()
        self.expert_digests = tuple(TensorDigests() for _ in experts)
        self.loss = ExportLoss()

    def fresh(self) -> ComponentMerge:
        """The same merge, which has read nothing yet: hashes and losses are of one pass."""
        twin = copy.copy(self)
        twin.base_digests = TensorDigests()
        twin.expert_digests = tuple(TensorDigests() for _ in self.experts)
        twin.loss = ExportLoss()
        return twin

    def memory(self, name: str) -> int:
        """Bytes that making a tensor takes, about."""
        numel = self.base.layout[name].numel
        dense = sum(isinstance(expert, DeltaSource) for expert in self.experts)
        elementwise = self.method.method.elementwise
        in_block = min(numel, BLOCK) if elementwise else numel
        copies = len(self.experts) + WORKING_COPIES[elementwise]
        return 4 * (dense * numel + copies * in_block)

    def produce(self, name: str) -> Iterator[Tensor]:
        """The merged tensor in flat pieces, in the dtype of :attr:`layout`.

        What is read is hashed, so that each tensor is made once; see :meth:`fresh`.

        Raises:
            MismatchError: values that are not finite, or buffers of integers that differ.

        """
        stored = self.base.read(name)
        if not stored.dtype.is_floating_point:
            yield self._same_integers(name, stored)
            return
        inputs = self.inputs(name, stored)
        collected = [given.read(name) for given in self.statistics]
        unchanged = all(isinstance(given, _Unchanged) for given in inputs)
        method = self.method.at(self.places[name])
        whole = not method.method.elementwise
        flat = stored.flatten()
        step = max(1, flat.numel() if whole else BLOCK)
        for start in range(0, flat.numel(), step):
            piece = flat[start : start + step]
            self.base_digests.update(name, piece)
            if unchanged:
                yield self._storable(name, piece, piece.to(self.layout[name].dtype))
                continue
            base = piece.float().view(stored.shape) if whole else piece.float()
            deltas = [given.delta(start, base) for given in inputs]
            if whole:  # which may drop an element that is not finite, without a trace
                self._require_finite(name, base, deltas, method.weights)
            about = collected if whole else [_piece(given, start, base) for given in collected]
            merged = self._finite(name, method(base, deltas, about), base, deltas)
            out = self._storable(name, merged, merged.to(self.layout[name].dtype))
            if out.dtype != torch.float32:
                self.loss.add(base, merged, out)
            yield out.flatten()

    def inputs(self, name: str, stored: Tensor) -> list[Input]:
        """What gives each expert's ``τ`` of one tensor, a piece at a time.

        Args:
            name: the tensor.
            stored: ``θ`` of this name as it is stored.

        """
        return [self._input(index, name, stored) for index in range(len(self.experts))]

    def deltas_of(self, index: int) -> dict[str, Tensor]:
        """``τ`` of one expert, by the names of the weights that it changes; float32, newly made."""
        deltas: dict[str, Tensor] = {}
        for name in self.base.layout:
            stored = self.base.read(name)
            given = self._input(index, name, stored)
            if stored.dtype.is_floating_point and not isinstance(given, _Unchanged):
                deltas[name] = given.delta(0, stored.float()).clone()
        return deltas

    def tensor(self, name: str) -> Tensor:
        """The merged tensor whole; see :meth:`produce`."""
        info = self.layout[name]
        return torch.cat([torch.empty(0, dtype=info.dtype), *self.produce(name)]).view(info.shape)

    def _storable(self, name: str, merged: Tensor, stored: Tensor) -> Tensor:
        if stored.dtype != merged.dtype and not _is_finite(stored) and _is_finite(merged):
            dtype = str(stored.dtype).removeprefix("torch.")
            raise MismatchError(
                f"{name} has values up to {float(merged.abs().max()):.3g}, beyond {dtype}",
                fix="store it with --dtype bfloat16 or float32",
            )
        return stored

    def _require_finite(
        self,
        name: str,
        base: Tensor,
        deltas: Sequence[Tensor],
        weights: Sequence[float],
    ) -> None:
        counted = zip(deltas, weights, strict=True)
        if not all(weight == 0 or _is_finite(delta) for delta, weight in counted):
            raise MismatchError(self._blame(name, base, deltas), fix=LOOK_INSIDE)

    def _finite(self, name: str, merged: Tensor, base: Tensor, deltas: Sequence[Tensor]) -> Tensor:
        if not _is_finite(merged):
            raise MismatchError(self._blame(name, base, deltas), fix=LOOK_INSIDE)
        return merged

    def _blame(self, name: str, base: Tensor, deltas: Sequence[Tensor]) -> str:
        if not _is_finite(base):
            return f"{self.base.origin} has values that are not finite (NaN or Inf) in {name}"
        for expert, delta in zip(self.experts, deltas, strict=True):
            if expert is not None and not _is_finite(delta):
                return f"{expert.origin} has values that are not finite (NaN or Inf) in {name}"
        return f"Merging gives values that are not finite in {name}"

    def _input(self, index: int, name: str, stored: Tensor) -> Input:
        expert = self.experts[index]
        if expert is None or name not in expert.layout:
            return _Unchanged(stored)
        if isinstance(expert, DeltaSource):
            return _Difference(expert.read_delta(name, stored))
        return _Weights(name, expert.read(name), self.expert_digests[index])

    def _same_integers(self, name: str, stored: Tensor) -> Tensor:
        self.base_digests.update(name, stored)
        for expert, digests in zip(self.experts, self.expert_digests, strict=True):
            if isinstance(expert, WeightSource) and name in expert.layout:
                theirs = expert.read(name)
                digests.update(name, theirs)
                if not torch.equal(stored, theirs):
                    raise MismatchError(
                        f"{name} holds {stored.dtype} and differs between {self.base.origin} and "
                        f"{expert.origin}; integers cannot be merged",
                        fix="give experts that were finetuned from this very base",
                    )
        return stored.flatten()


def _is_finite(tensor: Tensor) -> bool:
    # a sum is one pass, which makes nothing; looked at closely only where it is not finite
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def stored_dtype(own: torch.dtype, wanted: torch.dtype | None) -> torch.dtype:
    """How a tensor is stored: as wanted, or as it was; integers always as they were."""
    return own if wanted is None or not own.is_floating_point else wanted


def _piece(given: Tensor | None, start: int, base: Tensor) -> Tensor | None:
    return None if given is None else given.flatten()[start : start + base.numel()]


class Input(Protocol):
    """One expert's tensor."""

    def delta(self, start: int, base: Tensor) -> Tensor:
        """``τ`` of the elements from ``start`` on, in the shape of ``base``, float32.

        Args:
            start: the first element of the flattened tensor.
            base: ``θ`` of these elements, float32.

        """
        ...


class _Unchanged:
    """An expert that leaves the tensor as it is: zeros that take no memory."""

    def __init__(self, stored: Tensor) -> None:
        self.zero = torch.zeros((), dtype=torch.float32, device=stored.device)

    def delta(self, start: int, base: Tensor) -> Tensor:
        return self.zero.expand(base.shape)


class _Difference:
    """``τ`` as an adapter or a compressed task vector gives it."""

    def __init__(self, delta: Tensor) -> None:
        self.tensor = delta.flatten()

    def delta(self, start: int, base: Tensor) -> Tensor:
        return self.tensor[start : start + base.numel()].view(base.shape)


class _Weights:
    """``τ = θ_i − θ``, hashing what is read."""

    def __init__(self, name: str, stored: Tensor, digests: TensorDigests) -> None:
        self.name, self.stored, self.digests = name, stored.flatten(), digests

    def delta(self, start: int, base: Tensor) -> Tensor:
        piece = self.stored[start : start + base.numel()]
        self.digests.update(self.name, piece)
        return difference(piece.view(base.shape), base)
