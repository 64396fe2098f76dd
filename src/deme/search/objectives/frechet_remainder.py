"""What a few whole directions and a diagonal leave out of a Fréchet distance, to second order."""

from __future__ import annotations

import torch
from torch import Tensor

from ...randomness import generator

SKETCH = 1 << 16
"""Numbers that are kept of a set's left-out covariances. Products of sketches are those of the
covariances to about 1/√SKETCH of their norms."""


class FrechetRemainder:
    """``½ Σ C_ik² r_i r_k / (σ_i σ_k (r_i σ_i + r_k σ_k))`` over the pairs left out, for mixtures.

    Around a diagonal ``M = R C R``, with ``M_ii = (r_i σ_i)²``, the second order of ``−2 tr M^½``
    in the other elements is ``½ Σ M_ik² / (√M_ii √M_kk (√M_ii + √M_kk))``; the first is zero. It is
    a quadratic form in the covariances of all pairs (i, k) of directions other than those that are
    kept whole, so for ``C = Σ c_j C_j`` it is ``cᵀHc``. H is made from count sketches of the
    covariances (Charikar, Chen & Farach-Colton 2002): each pair is added with a random sign to one
    of :data:`SKETCH` sums. Where the means of the sets differ, what that adds to the mixture's
    covariance is not counted here.

    Args:
        roots: ``r`` ``(k,)``, standard deviations of the reference, all positive.
        rank: how many of the first directions are kept whole.

    """

    def __init__(self, roots: Tensor, rank: int) -> None:
        self.roots = roots
        first, second = torch.triu_indices(len(roots), len(roots), offset=1)
        outside = second >= rank
        self.first, self.second = first[outside], second[outside]
        draws = generator(0, "frechet remainder", len(roots), rank)
        count = len(self.first)
        self.place = torch.randint(SKETCH, (count,), generator=draws)
        self.sign = torch.randint(2, (count,), generator=draws) * 2.0 - 1
        self.scale: Tensor | None = None
        self.sketches: list[Tensor] = []
        self.form = torch.zeros(0, 0, dtype=torch.float64)
        """``H`` ``(J, J)``."""

    def add(self, covariance: Tensor) -> None:
        """Appends the covariance ``(k, k)`` of a set; σ is between the first's and the reference's.

        Being between them keeps σ from zero where the first set does not vary.
        """
        if self.scale is None:
            deviation = ((covariance.diagonal() + self.roots.square()) / 2).sqrt()
            size = self.roots * deviation
            one, other = size[self.first], size[self.second]
            weight = (one * other / (one + other)).sqrt()
            weight = weight / (deviation[self.first] * deviation[self.second])
            self.scale = (weight * self.sign).float()
        values = (covariance[self.first, self.second] * self.scale).double()
        sketch = torch.zeros(SKETCH, dtype=torch.float64).index_add_(0, self.place, values)
        self.sketches.append(sketch)
        count = len(self.sketches)
        grown = torch.zeros(count, count, dtype=torch.float64)
        grown[:-1, :-1] = self.form
        grown[-1] = grown[:, -1] = torch.stack([other @ sketch for other in self.sketches])
        self.form = grown

    def __call__(self, coefficients: Tensor) -> Tensor:
        """What mixtures ``(B, J)`` have to be given, ``(B,)``, at least zero."""
        return ((coefficients @ self.form) * coefficients).sum(1)
