"""The kernels of KID and CMMD, and their means over pairs, a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

CHUNK_NUMBERS = 1 << 23
"""Kernel values that are held at once: 64 MiB."""
CMMD_SIGMA = 10.0
CMMD_SCALE = 1000.0


def polynomial(inner: Tensor, features: int) -> Tensor:
    """``(x·y/D + 1)³`` from inner products ``x·y`` of any shape and D features."""
    return (inner / features + 1) ** 3


@dataclass(frozen=True)
class Kernel:
    """A kernel and the estimate that is made with it.

    Attributes:
        name: the metric's and the objective's name.
        function: kernel values from inner products ``x·y``, squared distances ``|x − y|²`` (both of
            one shape) and the number of features.
        normalised: whether features are scaled to length one before.
        unbiased: whether the published estimate leaves a row paired with itself out of the means
            within sets.
        scale: what the squared discrepancy is multiplied by.

    """

    name: str
    function: Callable[[Tensor, Tensor, int], Tensor]
    normalised: bool
    unbiased: bool
    scale: float

    def prepared(self, features: Tensor) -> Tensor:
        """The features as the kernel reads them, float64."""
        features = features.to(torch.float64)
        return functional.normalize(features, dim=1) if self.normalised else features

    def paired(self, first: Tensor, second: Tensor) -> Tensor:
        """``k(x_i, y_i)`` of prepared rows, ``(N,)``."""
        squared = (first - second).square().sum(1)
        return self.function((first * second).sum(1), squared, first.shape[1])

    def matrix(self, first: Tensor, second: Tensor) -> Tensor:
        """``k(x_i, y_j)`` of prepared rows, ``(N, M)``."""
        inner = first @ second.T
        distances = first.square().sum(1)[:, None] + second.square().sum(1) - 2 * inner
        return self.function(inner, distances.clamp(min=0), second.shape[1])

    def embedded(self, at: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """``Σ_j w_j k(x_i, y_j)`` at each prepared row ``x_i`` of ``at``, a chunk at a time."""
        chunks = at.split(max(1, CHUNK_NUMBERS // len(rows)))
        return torch.cat([self.matrix(chunk, rows) @ weights for chunk in chunks])

    def discrepancy(self, first: Tensor, second: Tensor, *, unbiased: bool = True) -> float:
        """The squared MMD of prepared rows, scaled: ``E k(x, x') + E k(y, y') − 2 E k(x, y)``.

        Args:
            first: prepared rows ``(N, D)``.
            second: prepared rows ``(M, D)``.
            unbiased: leave a row paired with itself out of the first two means; may be below 0.

        """
        within = sum(self.mean_of_pairs(rows, rows, paired=unbiased) for rows in (first, second))
        across = self.mean_of_pairs(first, second, paired=False)
        return self.scale * (within - 2 * across)

    def mean_of_pairs(self, first: Tensor, second: Tensor, *, paired: bool) -> float:
        """The mean of k over pairs of prepared rows; without those of equal row if ``paired``."""
        ones = torch.ones(len(second), dtype=torch.float64)
        total = float(self.embedded(first, second, ones).sum())
        if not paired:
            return total / (len(first) * len(second))
        total -= float(self.paired(first, second).sum())
        return total / (len(first) * (len(first) - 1))


POLYNOMIAL = Kernel(
    name="kid",
    function=lambda inner, squared, features: polynomial(inner, features),
    normalised=False,
    unbiased=True,
    scale=1.0,
)
GAUSSIAN = Kernel(
    name="cmmd",
    function=lambda inner, squared, features: torch.exp(-squared / (2 * CMMD_SIGMA**2)),
    normalised=True,
    unbiased=False,
    scale=CMMD_SCALE,
)
