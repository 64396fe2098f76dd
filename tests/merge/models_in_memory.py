"""Models and experts that are tensors in memory, as a merge sees them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from deme.merge.sources.contract import (
    DeltaSource,
    ModelSource,
    Source,
    TensorInfo,
    WeightSource,
)

SHAPES = {
    "conv_in.weight": (4, 3, 3, 3),
    "down_blocks.0.attentions.0.to_q.weight": (5, 7),
    "down_blocks.0.resnets.0.norm1.bias": (11,),
    "down_blocks.1.resnets.0.conv1.weight": (6, 5),
    "mid_block.resnets.0.conv1.weight": (9, 9),
    "up_blocks.0.attentions.0.to_q.weight": (7, 5),
    "conv_out.bias": (),
}
BLOCKS = ["conv_in", "down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "conv_out"]


class Weights(WeightSource):
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)
        self.origin = "memory"
        self.layout = {n: TensorInfo(tuple(t.shape), t.dtype) for n, t in tensors.items()}

    def read(self, name: str) -> Tensor:
        return self.tensors[name]


class Deltas(DeltaSource):
    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)
        self.origin = "adapter"
        self.layout = {n: TensorInfo(tuple(t.shape), t.dtype) for n, t in tensors.items()}

    def read_delta(self, name: str, base: Tensor) -> Tensor:
        return self.tensors[name].clone()


def model(origin: str, **components: Source) -> ModelSource:
    return ModelSource(origin, components, None, "pipeline")


def random_weights(seed: int, scale: float = 1.0) -> dict[str, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {n: scale * torch.randn(shape, generator=draws) for n, shape in SHAPES.items()}


def moved(base: Mapping[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Weights that differ from the base in about half of their elements, with a common trend."""
    steps, trend, chosen = random_weights(seed), random_weights(99), random_weights(seed + 50)
    return {
        name: base[name] + 0.01 * torch.where(chosen[name] > 0, steps[name] + trend[name], 0)
        for name in base
    }
