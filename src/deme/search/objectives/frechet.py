"""The Fréchet distance as an objective."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...metrics import FrechetReference
from ...metrics.statistics import require_same_dimensions
from ..evaluation import Tables
from .contract import Objective, RowWeights
from .frechet_mixture import FrechetMixture
from .rows import table_named, weights_named
from .spectra import trace_of_root

MOST_WHOLE = 256
"""Up to this many features mixtures keep all second moments."""
RANK = 128
"""Directions in which they keep them of more features, unless told otherwise."""


class FrechetObjective(Objective):
    """The squared Fréchet distance of one table to the real images' statistics.

    As :class:`~deme.metrics.FrechetReference` computes it, and differentiable in row weights p: the
    mean is ``m = Σ p_i x_i`` and the covariance ``n/(n − 1) Σ p_i (x_i − m)(x_i − m)ᵀ`` over n
    rows, so equal weights give the usual covariance. All is done in the eigenvectors of the
    reference's covariance and about its mean, where its root is diagonal and a large common mean
    costs no digits.

    Args:
        reference: the real images' side.
        table: the name of the detector's table.
        rank: in how many directions mixtures keep whole second moments; None: in all of up to 256,
            else in 128. See :class:`~.frechet_mixture.FrechetMixture`.

    """

    name = "frechet"

    def __init__(self, reference: FrechetReference, table: str, *, rank: int | None = None) -> None:
        features = reference.statistics.dimensions
        self.reads = (table,)
        self.rank = min(features, rank or (features if features <= MOST_WHOLE else RANK))
        self.mean = reference.statistics.mean
        values, vectors = torch.linalg.eigh(reference.statistics.covariance)
        rounding = values.abs().max() * torch.finfo(values.dtype).eps * len(values)
        self.roots = torch.where(values > rounding, values, 0.0).sqrt().flip(0)
        """Standard deviations of the reference along ``directions``, ``(D,)``, falling."""
        self.directions = vectors.flip(1)
        """Eigenvectors ``(D, D)`` of the reference's covariance, in columns."""
        self.trace = float(reference.statistics.covariance.trace())

    def rotated(self, tables: Tables) -> Tensor:
        """The table about the reference's mean and in ``directions``, float64 ``(rows, D)``.

        Raises:
            DataError: fewer than two rows.
            ProtocolError: features of another dimension than the reference's.

        """
        features = table_named(tables, self.reads[0], at_least=2)
        require_same_dimensions(len(self.mean), features.shape[1])
        return (features - self.mean) @ self.directions

    def value(self, tables: Tables, row_weights: RowWeights | None = None) -> Tensor:
        """The squared distance, never negative; ``inf`` where a feature is not finite.

        Raises:
            DataError, ProtocolError: as for :meth:`rotated`.

        """
        rows = self.rotated(tables)
        if not rows.isfinite().all():
            return torch.tensor(math.inf, dtype=torch.float64)
        weights = weights_named(row_weights, self.reads[0], len(rows))
        return self.distance(rows, weights)

    def distance(self, rows: Tensor, weights: Tensor) -> Tensor:
        """The squared distance of finite :meth:`rotated` rows with these weights."""
        count = len(rows)
        bessel = count / (count - 1)
        mean = weights @ rows
        centred = rows - mean
        spread = bessel * (weights @ centred.square().sum(1))
        kept = int((self.roots > 0).sum())
        scaled = centred[:, :kept] * self.roots[:kept]
        # The square root of a weight of zero has no derivative.
        if count <= kept and not (weights.requires_grad and bool((weights == 0).any())):
            scaled = scaled * weights.sqrt()[:, None]
            product = scaled @ scaled.T
        else:
            product = scaled.T @ (scaled * weights[:, None])
        overlap = trace_of_root(bessel * product, count - 1)
        return (mean.square().sum() + self.trace + spread - 2 * overlap).clamp(min=0)

    def mixture(self) -> FrechetMixture:
        """An empty mixture; see :class:`~.frechet_mixture.FrechetMixture`."""
        return FrechetMixture(self)
