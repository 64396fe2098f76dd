"""Density and coverage: how generated images fill the balls around real ones."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .neighbours import neighbour_radii, squared_distances

NEIGHBOURS = 5
"""k, as published."""


class DensityCoverage(NamedTuple):
    """Two numbers; higher is better.

    Attributes:
        density: at least 0; about 1 where both sets have one distribution, above where generated
            images crowd in dense regions.
        coverage: in ``[0, 1]``; see :func:`expected_coverage` for what is expected of equal
            distributions.

    """

    density: float
    coverage: float


def density_coverage(
    real: Tensor, generated: Tensor, k: int = NEIGHBOURS, *, real_radii: Tensor | None = None
) -> DensityCoverage:
    """Density and coverage (Naeem et al., arXiv:2002.09797, Eq. 3 and 4).

    With ``B_i`` the ball around a real image that reaches to the k-th nearest of the other real
    ones: density is ``1/kM Σ_j Σ_i 1[y_j ∈ B_i]``, and coverage the fraction of balls that hold a
    generated image. What is at the very radius is outside, as in the published code. In float64, a
    chunk of rows at a time.

    Args:
        real: features ``(N, D)``.
        generated: features ``(M, D)``.
        k: neighbours; 5 in the paper's experiments.
        real_radii: :func:`~deme.metrics.neighbour_radii` of the real images, where they are known.

    Raises:
        ConfigError: ``k`` is below 1.
        DataError: fewer than ``k + 1`` real images, or no generated one.
        ProtocolError: the dimensions differ.

    """
    radii = neighbour_radii(real, k) if real_radii is None else real_radii
    held = 0
    covered = torch.zeros(len(real), dtype=torch.bool)
    for squared in squared_distances(generated, real):
        inside = squared.sqrt() < radii
        held += int(inside.sum())
        covered |= inside.any(dim=0)
    return DensityCoverage(held / (k * len(generated)), float(covered.double().mean()))


def expected_coverage(real: int, generated: int, k: int = NEIGHBOURS) -> float:
    """The coverage expected of equal distributions, at these counts (the paper's Lemma 2).

    A ball is empty where the k nearest of its centre, among both sets, are all real:
    ``1 − Π_{i<k} (N − 1 − i)/(N + M − 1 − i)``.
    """
    empty = 1.0
    for index in range(k):
        empty *= (real - 1 - index) / (real + generated - 1 - index)
    return 1 - empty
