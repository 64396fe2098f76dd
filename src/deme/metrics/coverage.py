"""Precision and recall: how much of each set lies on the other's manifold."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .neighbours import neighbour_radii, squared_distances


class PrecisionRecall(NamedTuple):
    """Two fractions in ``[0, 1]``; higher is better.

    Attributes:
        precision: generated images that look real.
        recall: real images that the model could have made.

    """

    precision: float
    recall: float


def precision_recall(
    real: Tensor, generated: Tensor, k: int = 3, *, real_radii: Tensor | None = None
) -> PrecisionRecall:
    """Improved precision and recall (Kynkäänniemi et al., arXiv:1904.06991, Eq. 1 and 2).

    A set's manifold is the union of the balls around its features, each reaching to the k-th
    nearest of the others. In float64, a chunk of rows at a time.

    Args:
        real: features ``(N, D)``.
        generated: features ``(M, D)``.
        k: neighbours; 3 in the paper.
        real_radii: :func:`~deme.metrics.neighbour_radii` of the real images, where they are known.

    Raises:
        ConfigError: ``k`` is below 1.
        DataError: a set has fewer than ``k + 1`` images.
        ProtocolError: the dimensions differ.

    """
    radii = neighbour_radii(real, k) if real_radii is None else real_radii
    return PrecisionRecall(
        precision=_fraction_inside(generated, real, radii),
        recall=_fraction_inside(real, generated, neighbour_radii(generated, k)),
    )


def _fraction_inside(queries: Tensor, points: Tensor, radii: Tensor) -> float:
    inside = [
        (squared.sqrt() <= radii).any(dim=1) for squared in squared_distances(queries, points)
    ]
    return float(torch.cat(inside).double().mean())
