"""Running another library's conversion of names without any weights, to learn what it does.

Conversions of checkpoints rename tensors, slice fused ones apart and transpose some. Run on
stand-ins that note what happens to them, they give a plan that can be followed lazily, one mapped
tensor at a time, and backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .contract import TensorInfo

Convert = Callable[[dict[str, Any]], Mapping[str, Any]]
"""From a checkpoint's tensors by name to the tensors under new names."""


@dataclass(frozen=True)
class Part:
    """A tensor as a view of another: the other's name, and indexing and transposing from there."""

    name: str
    steps: tuple[Callable[[Tensor], Tensor], ...] = ()

    def of(self, tensor: Tensor) -> Tensor:
        """The same view of ``tensor``; writing to it writes to ``tensor``."""
        for step in self.steps:
            tensor = step(tensor)
        return tensor


class Tracer:
    """Stands for a tensor in a conversion."""

    def __init__(self, part: Part, probe: Tensor) -> None:
        self.part = part
        self._probe = probe

    @property
    def shape(self) -> torch.Size:
        """The shape that the tensor would have here."""
        return self._probe.shape

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return self._probe.ndim

    @property
    def T(self) -> Tracer:
        """Transposed."""
        return self._after(lambda tensor: tensor.t())

    def __getitem__(self, key: Any) -> Tracer:
        return self._after(lambda tensor: tensor[key])

    def contiguous(self) -> Tracer:
        """The same: how it lies in memory is not part of the plan."""
        return self

    clone = detach = contiguous

    def _after(self, step: Callable[[Tensor], Tensor]) -> Tracer:
        return Tracer(Part(self.part.name, (*self.part.steps, step)), step(self._probe))


def trace_conversion(
    layout: Mapping[str, TensorInfo], convert: Convert
) -> dict[str, tuple[Part, tuple[int, ...]]]:
    """What a conversion makes of tensors: each new name's part of an old tensor, and its shape."""
    tracers = {
        name: Tracer(Part(name), torch.empty(info.shape, device="meta"))
        for name, info in layout.items()
    }
    converted = convert(dict(tracers))
    return {
        name: (tracer.part, tuple(tracer.shape))
        for name, tracer in sorted(converted.items())
        if isinstance(tracer, Tracer)  # a name that is missing gives None
    }
