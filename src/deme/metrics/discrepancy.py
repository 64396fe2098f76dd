"""The standard error of an unbiased squared MMD, first and second order."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..randomness import generator
from .kernels import Kernel

SampledSides = Literal["generated", "both"]
"""Whose images might have been others: the generated ones alone, or the real ones too."""
ROWS_AT_ONCE = 1000
"""Rows of each set whose kernel values are held at once."""
REPEATS = 10
LEAST_ROWS = 4
"""The second-order components need so many rows of each set."""


@dataclass(frozen=True)
class VarianceComponents:
    """What the variance of the unbiased squared MMD is made of (Hoeffding 1948, section 5).

    With ``k`` centred in both arguments, ``k̃``, and the witness function
    ``f(z) = E_x k(z, x) − E_y k(z, y)``, whose variance over each set is the first order.

    Attributes:
        first: variance of ``f`` over the first distribution.
        second: variance of ``f`` over the second.
        within_first: ``E k̃(x, x')²``.
        within_second: ``E k̃(y, y')²``.
        across: ``E k̃(x, y)²``.

    """

    first: float
    second: float
    within_first: float
    within_second: float
    across: float

    @classmethod
    def estimated(cls, kernel: Kernel, x: Tensor, y: Tensor) -> VarianceComponents:
        """Estimate without bias from prepared rows ``(N, D)`` and ``(M, D)``, at least 4 of each.

        The squares within a set are those of the U-centred matrix (Székely & Rizzo 2014). The
        variance of the row means holds the second order too, which is taken out of it; so ``first``
        and ``second`` may come out below 0 where they are small.
        """
        xx, yy, xy = kernel.matrix(x, x), kernel.matrix(y, y), kernel.matrix(x, y)
        count, other = len(x), len(y)
        within_first, within_second = _u_centred_square(xx), _u_centred_square(yy)
        rows, columns = xy.mean(dim=1), xy.mean(dim=0)
        centred = xy - rows[:, None] - columns + xy.mean()
        across = float(centred.square().sum()) / ((count - 1) * (other - 1))
        first = float((_means_of_others(xx) - rows).var())
        second = float((_means_of_others(yy) - columns).var())
        return cls(
            first - within_first / (count - 1) - across / other,
            second - within_second / (other - 1) - across / count,
            within_first,
            within_second,
            across,
        )

    def variance(self, count: int, other: int, sampled: SampledSides) -> float:
        """Of the estimate from ``count`` rows of the first and ``other`` of the second set.

        ``4 v_x/n + 2 w_x/n(n−1)``, the same for y, and ``4 c/nm``; where the second set is fixed
        its own terms are absent. At least 0.
        """
        total = 4 * max(self.first, 0.0) / count + 2 * self.within_first / (count * (count - 1))
        total += 4 * self.across / (count * other)
        if sampled == "both":
            total += 4 * max(self.second, 0.0) / other
            total += 2 * self.within_second / (other * (other - 1))
        return max(total, 0.0)


def estimated_error(
    kernel: Kernel,
    generated: Tensor,
    real: Tensor,
    *,
    rows_at_once: int = ROWS_AT_ONCE,
    seed: int = 0,
    sampled: SampledSides = "generated",
) -> float:
    """The standard error of ``kernel.discrepancy`` of prepared rows, all of them.

    Its components are estimated from all rows where they are few, else averaged over 10 seeded
    subsets; they do not depend on the count, so that the variance at the whole count follows.

    Args:
        kernel: the kernel.
        generated: prepared rows ``(M, D)``.
        real: prepared rows ``(N, D)``.
        rows_at_once: rows of a subset, at least 4.
        seed: of the subsets.
        sampled: whose images might have been others.

    Returns:
        In the units of the discrepancy; not a number below 4 rows in a set.

    """
    if min(len(generated), len(real)) < LEAST_ROWS:
        return math.nan
    size = max(rows_at_once, LEAST_ROWS)
    repeats = 1 if max(len(generated), len(real)) <= size else REPEATS
    found = []
    for index in range(repeats):
        draw = generator(seed, "discrepancy error", index)
        first, second = (
            rows[torch.randperm(len(rows), generator=draw)[:size]] for rows in (generated, real)
        )
        found.append(dataclasses.astuple(VarianceComponents.estimated(kernel, first, second)))
    mean = VarianceComponents(*torch.tensor(found, dtype=torch.float64).mean(dim=0).tolist())
    return kernel.scale * math.sqrt(mean.variance(len(generated), len(real), sampled))


def _means_of_others(matrix: Tensor) -> Tensor:
    """The mean of each row of a square matrix without its diagonal."""
    return (matrix.sum(dim=1) - matrix.diagonal()) / (len(matrix) - 1)


def _u_centred_square(matrix: Tensor) -> float:
    """``E k̃(x, x')²``, unbiased, from ``k(x_i, x_j)`` ``(n, n)``, n at least 4."""
    count = len(matrix)
    hollow = matrix - torch.diag(matrix.diagonal())
    sums = hollow.sum(dim=1) / (count - 2)
    total = hollow.sum() / ((count - 1) * (count - 2))
    centred = hollow - sums[:, None] - sums + total
    centred.fill_diagonal_(0.0)
    return float(centred.square().sum()) / (count * (count - 3))
