"""The Fréchet distance of a signed mixture of sets, from their moments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..evaluation import Tables
from .contract import Mixture
from .frechet_remainder import FrechetRemainder
from .rows import as_coefficients, require_finite, require_paired
from .spectra import positive_part, root, trace_of_root

if TYPE_CHECKING:
    from .frechet import FrechetObjective

CHUNK_NUMBERS = 1 << 23
"""Numbers in the covariances that are worked on at once: 64 MiB."""


class FrechetMixture(Mixture):
    """Mean and second moment of each set, about the reference's mean and in its eigenvectors.

    Coefficients c give ``m = Σ c_j m_j`` and the covariance ``n/(n − 1) (Σ c_j S_j − m mᵀ)``, whose
    negative eigenvalues count as zero, in the trace too. With all directions that is exact.

    Where there are more features than ``rank``, the second moment is kept whole in that many
    directions, in which the reference varies most, and as its diagonal in the others, where
    negative variances count as zero. Of the covariances that are left out, those with and among the
    others, :class:`.FrechetRemainder` adds the second order; the rest is known at each set and is
    added in as the same combination, ``Σ c_j (d_j − d̂_j)``. So unit vectors are exact there too, at
    the cost of one full distance for each set. For J sets ``J·(2 D + rank² + 65 536)`` numbers are
    kept.

    Measured on one core: at D = 2 048, 30 sets and 128 directions a value takes 1 ms and its
    gradient 2 ms; adding a set of 3 000 rows takes 3 s. On 1 024 features of CIFAR-10 images
    (random convolutions; 128 directions leave 7 % of the trace out) and 11 sets, six linear
    predictions of distances of 6 to 18, most of them outside of the sets, were 0.7 from those of
    whole moments in the root mean square; 1.1 without the remainder, 0.6 with 256 directions.
    """

    def __init__(self, objective: FrechetObjective) -> None:
        self.objective = objective
        self.rank = objective.rank
        self.rows: int | None = None
        self.means: list[Tensor] = []
        self.inside: list[Tensor] = []
        self.outside: list[Tensor] = []
        self.corrections: list[float] = []
        kept = objective.roots[objective.roots > 0]
        self.remainder = FrechetRemainder(kept, self.rank) if self.rank < len(kept) else None
        self._stacked: tuple[Tensor, Tensor, Tensor, Tensor] | None = None

    @property
    def left_out(self) -> float:
        """Share of the reference's trace outside of the kept directions, in ``[0, 1]``."""
        variances = self.objective.roots.square()
        return float(variances[self.rank :].sum() / variances.sum())

    def add(self, tables: Tables) -> None:
        """Appends a set.

        Raises:
            DataError: another number of rows, or a value that is not finite.
            ProtocolError: features of another dimension than the reference's.

        """
        rows = self.objective.rotated(tables)
        require_finite(rows, self.objective.reads[0])
        require_paired(len(rows), self.rows)
        self.rows = len(rows)
        inside = rows[:, : self.rank]
        self.means.append(rows.mean(0))
        self.inside.append((inside.T @ inside / len(rows)).flatten())
        self.outside.append(rows[:, self.rank :].square().mean(0))
        self.corrections.append(0.0)
        self._stacked = None
        if self.remainder is not None:
            self._correct(rows, self.remainder)

    def _correct(self, rows: Tensor, remainder: FrechetRemainder) -> None:
        """Takes in what the last set's kept moments do not say."""
        kept = rows[:, : len(remainder.roots)]
        remainder.add(torch.cov(kept.T))
        weights = torch.full((len(rows),), 1 / len(rows), dtype=torch.float64)
        alone = torch.zeros(1, len(self.means), dtype=torch.float64)
        alone[0, -1] = 1
        with torch.no_grad():
            error = self.objective.distance(rows, weights) - self._distances(alone)[0]
        self.corrections[-1] = float(error)
        self._stacked = None

    def __call__(self, coefficients: Tensor) -> Tensor:
        """Squared distances ``(...)`` of mixtures ``(..., J)``.

        At a unit vector this is the set's value to 1e-8. With fewer directions than features a
        prediction far from every set may be below zero.

        Raises:
            DataError: not one coefficient for each set.

        """
        coefficients = as_coefficients(coefficients, len(self.means))
        flat = coefficients.reshape(-1, len(self.means))
        chunks = flat.split(max(1, CHUNK_NUMBERS // self.rank**2))
        return torch.cat([self._distances(chunk) for chunk in chunks]).reshape(
            coefficients.shape[:-1]
        )

    def _distances(self, coefficients: Tensor) -> Tensor:
        means, insides, outsides, corrections = self._moments()
        rows, rank = self.rows or 0, self.rank
        bessel = rows / (rows - 1)
        mean = coefficients @ means
        inside = (coefficients @ insides).unflatten(1, (rank, rank))
        core = mean[:, :rank]
        covariance, positive = positive_part(
            bessel * (inside - core[:, :, None] * core[:, None, :])
        )
        second = coefficients @ outsides
        variances = (bessel * (second - mean[:, rank:].square())).clamp(min=0)
        roots = self.objective.roots[:rank]
        roots, others = roots[roots > 0], self.objective.roots[rank:]
        kept = len(roots)
        product = roots[:, None] * covariance[:, :kept, :kept] * roots
        # J sets of n rows and their mean span J n − 1 directions at most.
        span = (coefficients.detach() != 0).sum(1) * rows - 1
        overlap = trace_of_root(product, torch.minimum(span, positive))
        overlap = overlap + (others * root(variances, second.detach().abs())).sum(1)
        spread = covariance.diagonal(dim1=1, dim2=2).sum(1) + variances.sum(1)
        distance = mean.square().sum(1) + self.objective.trace + spread - 2 * overlap
        if self.remainder is None:
            return distance
        return distance + self.remainder(coefficients) + coefficients @ corrections

    def _moments(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        if self._stacked is None:
            self._stacked = (
                torch.stack(self.means),
                torch.stack(self.inside),
                torch.stack(self.outside),
                torch.tensor(self.corrections, dtype=torch.float64),
            )
        return self._stacked
