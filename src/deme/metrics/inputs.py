"""What a metric is computed from: tables of both sets, and what the metrics leave open."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import Field
from torch import Tensor

from ..config import Config
from ..errors import DataError
from .bootstrap import Rows
from .coverage import PrecisionRecall, precision_recall
from .density import DensityCoverage, density_coverage
from .detector import FEATURES
from .frechet import FrechetReference
from .inception_score import InceptionScore, inception_score
from .kernel import subset_discrepancies
from .neighbours import neighbour_radii
from .protocol import Protocol
from .statistics import FeatureStatistics

TableSet = Tensor | Mapping[str, Tensor]
"""Tables ``(N, D)`` of the same images by name; a tensor alone is the features."""


class MetricSettings(Config):
    """What the metrics leave open. The defaults are the papers'."""

    subsets: int = Field(default=100, ge=1)
    """How many subsets the kernel distance is a mean over."""
    subset_size: int = Field(default=1000, ge=2)
    """How many images a subset has."""
    subset_seed: int = 0
    """The seed that draws the subsets."""
    neighbours: int = Field(default=3, ge=1)
    """k of precision and recall."""
    density_neighbours: int = Field(default=5, ge=1)
    """k of density and coverage."""
    inception_splits: int = Field(default=10, ge=1)
    """Parts of the images that the Inception score is a mean over."""


@dataclass(frozen=True)
class MetricInputs:
    """What a metric is computed from; what several share is computed once.

    Attributes:
        generated: the table that the metric reads, ``(M, D)``.
        real_features: the same of the real images ``(N, D)``, or None where only their statistics
            are known.
        kept_reference: their side of the Fréchet distance, where the caller has it.
        protocol: how both were made.
        settings: what the metrics leave open.
        allow_unknown: whether reference statistics of unknown protocol may be used.

    """

    generated: Tensor
    real_features: Tensor | None = None
    kept_reference: FrechetReference | None = None
    protocol: Protocol = field(default_factory=Protocol)
    settings: MetricSettings = field(default_factory=MetricSettings)
    allow_unknown: bool = False
    _radii: dict[int, Tensor] = field(default_factory=dict, repr=False, compare=False)

    @property
    def real(self) -> Tensor:
        """The real features.

        Raises:
            DataError: only their statistics are known.

        """
        if self.real_features is None:
            raise DataError(
                "Only the statistics of the real images are known: that is enough for 'frechet' "
                "alone",
                fix="give the real images too, or ask for 'frechet' alone",
            )
        return self.real_features

    @property
    def counts(self) -> tuple[int, int | None]:
        """How many generated and real images there are; None where the latter is not known."""
        if self.real_features is not None:
            return len(self.generated), len(self.real_features)
        return len(self.generated), self.protocol.reference_images

    def of_rows(self, generated: Rows, real: Rows) -> MetricInputs:
        """The same metric's inputs of some of the images; None is all of them."""
        changes: dict[str, object] = {}
        if generated is not None:
            changes["generated"] = self.generated[generated]
        if real is not None:
            changes |= {"real_features": self.real[real], "kept_reference": None, "_radii": {}}
        return dataclasses.replace(self, **changes)

    def real_radii(self, k: int) -> Tensor:
        """Distances ``(N,)`` to the k-th nearest other real image, computed once."""
        if k not in self._radii:
            self._radii[k] = neighbour_radii(self.real, k)
        return self._radii[k]

    @cached_property
    def reference(self) -> FrechetReference:
        """The real side of the Fréchet distance, kept or made of the real features."""
        if self.kept_reference is not None:
            return self.kept_reference
        return FrechetReference(FeatureStatistics.from_features(self.real))

    @cached_property
    def frechet(self) -> float:
        """The squared Fréchet distance."""
        generated = FeatureStatistics.from_features(self.generated, self.protocol)
        if self.kept_reference is not None:
            return self.kept_reference.distance(generated, allow_unknown=self.allow_unknown)
        return self.reference.distance_of_moments(
            generated.mean, generated.covariance, generated.count
        )

    @cached_property
    def subset_discrepancies(self) -> tuple[float, ...]:
        """The terms whose mean is the kernel distance."""
        return subset_discrepancies(
            self.real,
            self.generated,
            subsets=self.settings.subsets,
            subset_size=self.settings.subset_size,
            seed=self.settings.subset_seed,
        )

    @cached_property
    def precision_recall(self) -> PrecisionRecall:
        """Both fractions: each needs the other's distances."""
        k = self.settings.neighbours
        return precision_recall(self.real, self.generated, k, real_radii=self.real_radii(k))

    @cached_property
    def density_coverage(self) -> DensityCoverage:
        """Both: they need the same distances."""
        k = self.settings.density_neighbours
        return density_coverage(self.real, self.generated, k, real_radii=self.real_radii(k))

    @cached_property
    def inception_score(self) -> InceptionScore:
        """Of the generated images' class probabilities."""
        return inception_score(self.generated, self.settings.inception_splits)


def as_tables(given: TableSet) -> Mapping[str, Tensor]:
    """Tables by name; a tensor alone is the features."""
    return {FEATURES: given} if isinstance(given, Tensor) else given


def table_of(tables: Mapping[str, Tensor], name: str, metric: str) -> Tensor:
    """The table that a metric reads.

    Raises:
        DataError: it is not there; names the tables and the fix.

    """
    if name not in tables:
        raise DataError(
            f"The metric {metric!r} reads the table {name!r}, which was not made of these images",
            choices=tables,
            fix=f"give detector.tables(images, [{name!r}]) of a detector that has it",
        )
    return tables[name]
