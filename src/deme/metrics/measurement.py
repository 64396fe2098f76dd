"""Numbers that carry their protocol, and the functions that make them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import ConfigError, DataError
from .frechet import FrechetReference
from .protocol import Protocol
from .table import MetricInputs, MetricSettings, metric_named

IMAGES_PER_DIMENSION = 2
"""Below this many images a dimension a covariance is mostly noise, and a note says so."""


@dataclass(frozen=True)
class MetricValue:
    """One number, with all that is needed to know what it may be compared with.

    Attributes:
        name: the metric.
        value: the number.
        higher_is_better: which way to go.
        protocol: how it was made.

    """

    name: str
    value: float
    higher_is_better: bool
    protocol: Protocol

    def describe(self) -> str:
        """One line: the number, which way is better, and how it was made."""
        direction = "higher" if self.higher_is_better else "lower"
        return f"{self.name} {self.value:.4g} ({direction} is better) · {self.protocol.describe()}"

    def better_than(self, other: MetricValue) -> bool:
        """Whether this number is the better one.

        Raises:
            ConfigError: they are values of different metrics.
            ProtocolError: they were made under different protocols.

        """
        if self.name != other.name:
            raise ConfigError(f"{self.name!r} and {other.name!r} are different metrics")
        self.protocol.require_same(other.protocol)
        return self.value > other.value if self.higher_is_better else self.value < other.value


@dataclass(frozen=True)
class Measurement:
    """The metrics of one set of generated images.

    Attributes:
        values: in the order asked for.
        notes: what a reader should know before trusting them.

    """

    values: tuple[MetricValue, ...]
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> MetricValue:
        wanted = metric_named(name).name
        for value in self.values:
            if value.name == wanted:
                return value
        raise ConfigError(
            f"The metric {name!r} was not measured", choices=[value.name for value in self.values]
        )


def measure(
    names: Sequence[str],
    real_features: Tensor | None,
    generated_features: Tensor,
    *,
    protocol: Protocol | None = None,
    reference: FrechetReference | None = None,
    settings: MetricSettings | None = None,
    allow_unknown: bool = False,
) -> Measurement:
    """Measures generated images against real ones.

    Args:
        names: metrics of :data:`~deme.metrics.table.METRICS`.
        real_features: ``(N, D)``; None where only ``reference`` is known, which is enough for
            ``frechet``.
        generated_features: ``(M, D)``, made by the same detector.
        protocol: how both were made; the counts are filled in here.
        reference: the kept side of the Fréchet distance, for many measurements against one set.
        settings: what the metrics leave open.
        allow_unknown: use a ``reference`` of unknown protocol.

    Raises:
        ConfigError: a name that is no metric's.
        DataError: features that cannot be used, or too few.
        ProtocolError: ``reference`` was made in another way than ``protocol`` says.

    """
    metrics = [metric_named(name) for name in names]
    if real_features is None and reference is None:
        raise DataError(
            "There is nothing real to measure against", fix="give real features or statistics"
        )
    complete = _complete(protocol or Protocol(), real_features, generated_features, reference)
    inputs = MetricInputs(
        generated_features,
        real_features,
        reference,
        complete,
        settings or MetricSettings(),
        allow_unknown,
    )
    values = tuple(
        MetricValue(metric.name, metric.compute(inputs), metric.higher_is_better, complete)
        for metric in metrics
    )
    wanted = any(metric.name == "frechet" for metric in metrics)
    return Measurement(values, _notes(complete, generated_features.shape[1]) if wanted else ())


def compute_metrics(
    names: Sequence[str],
    real_features: Tensor,
    generated_features: Tensor,
    *,
    settings: MetricSettings | None = None,
) -> dict[str, float]:
    """Give the bare numbers by the names asked for, from features ``(N, D)`` and ``(M, D)``.

    Raises:
        ConfigError, DataError, ProtocolError: as for :func:`measure`.

    """
    found = measure(names, real_features, generated_features, settings=settings)
    return {name: value.value for name, value in zip(names, found.values, strict=True)}


def _complete(
    protocol: Protocol, real: Tensor | None, generated: Tensor, reference: FrechetReference | None
) -> Protocol:
    """Fill in what is known here: the counts, and the reference's data hash."""
    count = len(real) if real is not None else None
    digest = protocol.reference_digest
    if reference is not None:
        count = reference.statistics.count if count is None else count
        digest = reference.statistics.protocol.reference_digest if digest is None else digest
    return dataclasses.replace(
        protocol,
        generated_images=len(generated),
        reference_images=count,
        reference_digest=digest,
    )


def _notes(protocol: Protocol, dimensions: int) -> tuple[str, ...]:
    counts = {"generated": protocol.generated_images, "real": protocol.reference_images}
    return tuple(
        f"frechet: {count} {which} images are few for {dimensions} dimensions (fewer than "
        f"{IMAGES_PER_DIMENSION} × D = {IMAGES_PER_DIMENSION * dimensions}): the distance is "
        "biased upwards, compare it only at the same counts"
        for which, count in counts.items()
        if count is not None and count < IMAGES_PER_DIMENSION * dimensions
    )
