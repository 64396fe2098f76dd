"""Models of tensors in memory, and their stored bits."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from hypothesis import settings
from torch import Tensor

from deme.merge.sources.contract import ModelSource, TensorInfo, WeightSource

PROPERTY = settings(max_examples=25, deadline=None, derandomize=True, database=None)
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class MemoryWeights(WeightSource):
    """Tensors as they are."""

    def __init__(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        self.tensors, self.origin = tensors, origin
        self.layout = {
            name: TensorInfo(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()
        }

    def read(self, name: str) -> Tensor:
        return self.tensors[name]


def model(origin: str, **components: Mapping[str, Tensor]) -> ModelSource:
    """A model of these components."""
    sources = {name: MemoryWeights(tensors, origin) for name, tensors in components.items()}
    return ModelSource(origin, sources, None, "pipeline")


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors agree in shape, dtype and every stored bit, NaN's too."""
    integers = INTEGERS[one.dtype.itemsize]
    return (
        one.shape == other.shape
        and one.dtype == other.dtype
        and torch.equal(one.contiguous().view(integers), other.contiguous().view(integers))
    )


def relative_error(found: Tensor, expected: Tensor) -> float:
    """``‖found − expected‖ / ‖expected‖`` in float64."""
    return float((found.double() - expected.double()).norm() / expected.double().norm())


def finetuned(
    shape: tuple[int, ...], seed: int, ratio: float = 0.003, scale: float = 0.05
) -> tuple[Tensor, Tensor]:
    """Weights around ``scale``, and the same moved by ``ratio`` of that."""
    draws = torch.Generator().manual_seed(seed)
    base = scale * torch.randn(shape, generator=draws)
    return base, base + ratio * scale * torch.randn(shape, generator=draws)
