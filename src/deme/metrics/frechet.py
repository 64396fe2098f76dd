"""The Fréchet distance between two sets of features, seen as Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import DataError
from .statistics import FeatureStatistics, require_features, require_same_dimensions


class FrechetReference:
    """The real images' side of the Fréchet distance, with the root of its covariance kept.

    ``d² = |μ_r − μ|² + tr Σ_r + tr Σ − 2 tr (R Σ R)^½`` with ``R = Σ_r^½`` (Dowson & Landau 1982;
    FID: Heusel et al., arXiv:1706.08500). ``R Σ R`` is symmetric and has the eigenvalues of
    ``Σ_r Σ``, so ``eigvalsh`` does where others take the root of a non-symmetric matrix: a fraction
    of the time, never a complex number. All float64.

    Two refinements against rounding, which the root magnifies from 1e-16 to 1e-8 for each zero
    eigenvalue: directions in which the reference does not vary are left out of ``R``, and of the
    product's eigenvalues only as many count as the generated images can span (count − 1). So fewer
    images than dimensions are no special case.
    """

    def __init__(self, statistics: FeatureStatistics) -> None:
        self.statistics = statistics
        values, vectors = torch.linalg.eigh(statistics.covariance)
        noise = values.abs().max() * torch.finfo(values.dtype).eps * len(values)
        kept = values > noise
        self._root = vectors[:, kept] * values[kept].sqrt()  # (D, rank): R without its null space
        self._trace = float(statistics.covariance.trace())

    def distance(self, generated: FeatureStatistics, *, allow_unknown: bool = False) -> float:
        """Give the squared Fréchet distance ``d²``, as FID is: never negative, 0 is best.

        Raises:
            ProtocolError: the features were made differently, or it is not known how and
                ``allow_unknown`` is not set.

        """
        self.statistics.protocol.require_same_features(
            generated.protocol, allow_unknown=allow_unknown
        )
        return self.distance_of_moments(generated.mean, generated.covariance, generated.count)

    def distance_of_moments(
        self, mean: Tensor, covariance: Tensor, count: int | None = None
    ) -> float:
        """Do the same for bare moments ``(D,)`` and ``(D, D)``, predicted ones say.

        A predicted covariance need not be positive: negative eigenvalues count as zero. ``count``
        is the number of images behind it, if there is one.

        Raises:
            ProtocolError: the dimensions differ.
            DataError: a value is not finite.

        """
        require_same_dimensions(self.statistics.dimensions, mean.numel())
        if not (mean.isfinite().all() and covariance.isfinite().all()):
            raise DataError("The moments hold values that are not finite")
        mean, covariance = mean.to(torch.float64), covariance.to(torch.float64)
        product = self._root.T @ covariance @ self._root
        values = torch.linalg.eigvalsh(product).clamp(min=0)
        if count is not None:
            values = values[max(0, len(values) - count + 1) :]
        shift = float((self.statistics.mean - mean).square().sum())
        overlap = float(values.sqrt().sum())
        return max(shift + self._trace + float(covariance.trace()) - 2 * overlap, 0.0)

    def influence(self, features: Tensor) -> Tensor:
        """What each row of features ``(M, D)`` moves the distance by: float64 ``(M,)``, mean 0.

        The derivative by the row's weight, with ``z = x − μ`` and ``A = R (R Σ R)^-½ R``:
        ``2 z·(μ − μ_r) + (|z|² − zᵀ A z)·M/(M − 1)``, less its mean. Its variance over M is that of
        the distance to first order (infinitesimal jackknife: Jaeckel 1972; Efron 1982, chapter 6).
        Where images are fewer than dimensions, or the distance is at its floor, the first order is
        not all of it.

        Raises:
            DataError: fewer than two rows, or values that are not finite.
            ProtocolError: the dimensions differ.

        """
        require_features(features, at_least=2)
        require_same_dimensions(self.statistics.dimensions, features.shape[1])
        rows = features.to(torch.float64)
        mean = rows.mean(dim=0)
        centred = rows - mean
        projected = centred @ self._root
        values, vectors = torch.linalg.eigh(projected.T @ projected / (len(rows) - 1))
        rounding = values.abs().max() * torch.finfo(values.dtype).eps * len(values)
        kept = values > rounding
        along = projected @ vectors[:, kept] * values[kept].pow(-0.25)
        spread = centred.square().sum(dim=1) - along.square().sum(dim=1)
        moved = 2 * centred @ (mean - self.statistics.mean)
        moved = moved + spread * len(rows) / (len(rows) - 1)
        return moved - moved.mean()


def frechet_distance(
    first: FeatureStatistics, second: FeatureStatistics, *, allow_unknown: bool = False
) -> float:
    """Give the squared Fréchet distance of two sets; for many keep a :class:`FrechetReference`.

    Raises:
        ProtocolError: the features were made differently, or it is not known how and
            ``allow_unknown`` is not set.

    """
    return FrechetReference(first).distance(second, allow_unknown=allow_unknown)
