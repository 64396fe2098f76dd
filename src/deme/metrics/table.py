"""The metrics by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from pydantic import Field
from torch import Tensor

from ..config import Config
from ..errors import ConfigError, DataError
from .coverage import PrecisionRecall, precision_recall
from .frechet import FrechetReference
from .kernel import kernel_distance
from .protocol import Protocol
from .statistics import FeatureStatistics


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


@dataclass(frozen=True)
class MetricInputs:
    """What a metric is computed from; what several share is computed once.

    Attributes:
        generated: features ``(M, D)``.
        real_features: features ``(N, D)``, or None where only their statistics are known.
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

    @cached_property
    def frechet(self) -> float:
        """The squared Fréchet distance."""
        generated = FeatureStatistics.from_features(self.generated, self.protocol)
        if self.kept_reference is not None:
            return self.kept_reference.distance(generated, allow_unknown=self.allow_unknown)
        real = FrechetReference(FeatureStatistics.from_features(self.real))
        return real.distance_of_moments(generated.mean, generated.covariance, generated.count)

    @cached_property
    def precision_recall(self) -> PrecisionRecall:
        """Both fractions: each needs the other's distances."""
        return precision_recall(self.real, self.generated, self.settings.neighbours)


@dataclass(frozen=True)
class Metric:
    """A metric: a number for two sets of features.

    Attributes:
        name: its name in configurations and tables.
        higher_is_better: which way to go.
        compute: the number, from its inputs.
        paper: where it comes from.

    """

    name: str
    higher_is_better: bool
    compute: Callable[[MetricInputs], float]
    paper: str


METRICS: dict[str, Metric] = {}
"""Every metric by its name."""

ALIASES = {"fid": "frechet"}
"""Names that people write. The Fréchet distance is FID where the detector is Inception alone."""


def register_metric(
    name: str, *, higher_is_better: bool, paper: str
) -> Callable[[Callable[[MetricInputs], float]], Callable[[MetricInputs], float]]:
    """Add the decorated function to :data:`METRICS` and return it unchanged."""

    def register(compute: Callable[[MetricInputs], float]) -> Callable[[MetricInputs], float]:
        METRICS[name] = Metric(name, higher_is_better, compute, paper)
        return compute

    return register


def metric_named(name: str) -> Metric:
    """Find the metric of that name.

    Raises:
        ConfigError: no metric has it; lists the names and the nearest.

    """
    metric = METRICS.get(ALIASES.get(name, name))
    if metric is None:
        raise ConfigError(f"There is no metric {name!r}", choices=METRICS, given=name)
    return metric


@register_metric("frechet", higher_is_better=False, paper="arXiv:1706.08500")
def frechet(inputs: MetricInputs) -> float:
    """Give the squared Fréchet distance; FID where the detector is Inception."""
    return inputs.frechet


@register_metric("kid", higher_is_better=False, paper="arXiv:1801.01401")
def kid(inputs: MetricInputs) -> float:
    """Give the kernel distance, unscaled."""
    settings = inputs.settings
    return kernel_distance(
        inputs.real,
        inputs.generated,
        subsets=settings.subsets,
        subset_size=settings.subset_size,
        seed=settings.subset_seed,
    )


@register_metric("precision", higher_is_better=True, paper="arXiv:1904.06991")
def precision(inputs: MetricInputs) -> float:
    """Give the fraction of generated images on the real images' manifold."""
    return inputs.precision_recall.precision


@register_metric("recall", higher_is_better=True, paper="arXiv:1904.06991")
def recall(inputs: MetricInputs) -> float:
    """Give the fraction of real images on the generated images' manifold."""
    return inputs.precision_recall.recall
