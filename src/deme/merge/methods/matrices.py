"""Tensors as matrices, and what their singular vectors give, at the cost of the smaller side.

All goes through the eigenvectors of ``M Mᵀ`` in float64, with ``m ≤ n`` rows: 2.4 s for 1280×11520
on one core, where a decomposition in float32 takes 9.8 s. Squaring halves the digits that a small
singular value keeps, but float64 has twice those of the float32 differences: at a condition of 1e4
a flattened spectrum comes out right to 3e-8, from the decomposition in float32 to 4e-4.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

RANK_TOLERANCE = 1e-6
"""Singular values below this share of the largest count as 0: float32 rounding, no direction."""


class Change(NamedTuple):
    """What one expert changes in a layer, ``w_i τ_i``."""

    delta: Tensor
    """``τ_i``, with at least two axes, the first the output's channel; not 0."""
    weight: float
    """``w_i``, not 0; a negative one turns the left singular vectors around."""

    def matrix(self) -> Tensor:
        """``w_i τ_i`` as a float64 matrix ``(out, in·k·k)``, newly made."""
        return self.delta.flatten(1).double().mul_(self.weight)


def changes(deltas: Sequence[Tensor], weights: Sequence[float]) -> list[Change]:
    """The experts that change a layer at all."""
    return [
        Change(delta, weight)
        for delta, weight in zip(deltas, weights, strict=True)
        if weight != 0 and bool(delta.any())
    ]


def polar_factor(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """``U Vᵀ`` of ``M = U Σ Vᵀ``: the nearest matrix with orthonormal rows or columns.

    Directions in which ``M`` is 0 have no singular vectors of their own and stay 0, so that the
    result is a function of ``M`` alone.

    Returns:
        the factor, of the shape of ``M``, and the singular values that are not 0, descending.

    """
    if matrix.shape[0] > matrix.shape[1]:
        factor, singular = polar_factor(matrix.mT)
        return factor.mT, singular
    singular, left = _spectrum(matrix @ matrix.mT)
    return (left / singular) @ left.mT @ matrix, singular


def leading_triplets(matrix: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The ``count`` largest singular values with their vectors; fewer where the rank is lower.

    Returns:
        ``U`` ``(m, k)``, ``Σ`` ``(k,)`` descending and ``Vᵀ`` ``(k, n)``.

    """
    if matrix.shape[0] > matrix.shape[1]:
        right, singular, left = leading_triplets(matrix.mT, count)
        return left.mT, singular, right.mT
    singular, left = _spectrum(matrix @ matrix.mT)
    singular, left = singular[:count], left[:, :count]
    return left, singular, (left / singular).mT @ matrix


def orthonormal_product(left: Tensor, values: Tensor, right: Tensor) -> Tensor:
    """``Û diag(σ) V̂ᵀ`` ``(m, n)`` with the polar factors ``Û`` of ``left`` and ``V̂ᵀ`` of ``right``.

    The polar factor of ``U`` is ``U (Uᵀ U)^{−1/2}``; so all but one product is of ``k × k``.

    Args:
        left: ``(m, k)``, columns of length one or less.
        values: ``σ`` ``(k,)``.
        right: ``(k, n)``, rows of length one or less.

    """
    inner = _inverse_root(left.mT @ left) * values @ _inverse_root(right @ right.mT)
    return left @ inner @ right


def _inverse_root(gram: Tensor) -> Tensor:
    """``G^{−1/2}`` of a Gram matrix ``(k, k)``; 0 in directions in which it is 0."""
    singular, vectors = _spectrum(gram)
    return (vectors / singular) @ vectors.mT


def _spectrum(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Roots of the eigenvalues that are not 0, descending ``(r,)``, and eigenvectors ``(m, r)``.

    Values that are not finite stay so, for whoever knows the tensor's name to report.
    """
    if not bool(torch.isfinite(gram).all()):
        return torch.full_like(gram[:1, 0], torch.nan), torch.full_like(gram[:, :1], torch.nan)
    squares, vectors = torch.linalg.eigh(gram)
    singular = squares.flip(0).clamp(min=0).sqrt()
    kept = singular > RANK_TOLERANCE * singular[:1]
    return singular[kept], vectors.flip(1)[:, kept]
