"""Numbers that carry their protocol, and the functions that make them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from ..errors import ConfigError, DataError, ProtocolError
from .bootstrap import IntervalSettings
from .detector import FEATURES
from .frechet import FrechetReference
from .inputs import MetricInputs, MetricSettings, TableSet, as_tables, table_of
from .intervals import metric_interval
from .protocol import Protocol
from .table import Metric, metric_named


@dataclass(frozen=True)
class MetricValue:
    """One number, with all that is needed to know what it may be compared with.

    Attributes:
        name: the metric.
        value: the number.
        higher_is_better: which way to go.
        protocol: how it was made.
        estimator: how it was estimated, where that is open: k, splits, subsets.
        interval: where it lies over other images of as many, or None: not asked for.
        interval_method: how the interval was made, with its level.

    """

    name: str
    value: float
    higher_is_better: bool
    protocol: Protocol
    estimator: str = ""
    interval: tuple[float, float] | None = None
    interval_method: str = ""

    def describe(self) -> str:
        """One line: the number, which way is better, and how it was made."""
        direction = "higher" if self.higher_is_better else "lower"
        parts = [f"{self.name} {self.value:.4g} ({direction} is better)", self.protocol.describe()]
        if self.estimator:
            parts.append(self.estimator)
        if self.interval is not None:
            low, high = self.interval
            parts.append(f"{low:.4g} to {high:.4g} ({self.interval_method})")
        return " · ".join(parts)

    def better_than(self, other: MetricValue) -> bool:
        """Whether this number is the better one.

        Raises:
            ConfigError: they are values of different metrics.
            ProtocolError: they were made under different protocols, or estimated otherwise.

        """
        if self.name != other.name:
            raise ConfigError(f"{self.name!r} and {other.name!r} are different metrics")
        if self.estimator != other.estimator:
            raise ProtocolError(
                f"These values of {self.name} were estimated in different ways "
                f"({self.estimator} ≠ {other.estimator})",
                fix="measure both with the same settings",
            )
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
    real_features: TableSet | None,
    generated_features: TableSet,
    *,
    protocol: Protocol | None = None,
    reference: FrechetReference | None = None,
    settings: MetricSettings | None = None,
    allow_unknown: bool = False,
    intervals: IntervalSettings | None = None,
) -> Measurement:
    """Measures generated images against real ones.

    Args:
        names: metrics of :data:`~deme.metrics.table.METRICS`.
        real_features: ``(N, D)``; None where only ``reference`` is known, which is enough for
            ``frechet``. Where a metric reads another table, such as sFID: tables by name.
        generated_features: ``(M, D)``, made by the same detector; or tables by name.
        protocol: how both were made; the counts are filled in here.
        reference: the kept side of the Fréchet distance of the features, for many measurements
            against one set.
        settings: what the metrics leave open.
        allow_unknown: use a ``reference`` of unknown protocol.
        intervals: give every number an interval, made so.

    Raises:
        ConfigError: a name that is no metric's.
        DataError: features that cannot be used, or too few; or a table that is not there.
        ProtocolError: ``reference`` was made in another way than ``protocol`` says.

    """
    metrics = [metric_named(name) for name in names]
    if real_features is None and reference is None:
        raise DataError(
            "There is nothing real to measure against", fix="give real features or statistics"
        )
    real = None if real_features is None else as_tables(real_features)
    generated = as_tables(generated_features)
    complete = _complete(protocol or Protocol(), real, generated, reference)
    inputs: dict[str, MetricInputs] = {}
    values, notes = [], {}
    for metric in metrics:
        if metric.reads not in inputs:
            inputs[metric.reads] = MetricInputs(
                table_of(generated, metric.reads, metric.name),
                None if real is None else table_of(real, metric.reads, metric.name),
                reference if metric.reads == FEATURES else None,
                complete,
                settings or MetricSettings(),
                allow_unknown,
            )
        own = inputs[metric.reads]
        values.append(_value(metric, own, intervals))
        for note in metric.notes(own):
            notes.setdefault(note, []).append(metric.name)
    told = (f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in notes.items())
    return Measurement(tuple(values), tuple(told))


def _value(metric: Metric, inputs: MetricInputs, settings: IntervalSettings | None) -> MetricValue:
    number = metric.compute(inputs)
    interval = None if settings is None else metric_interval(metric, inputs, number, settings)
    return MetricValue(
        metric.name,
        number,
        metric.higher_is_better,
        inputs.protocol,
        estimator="" if metric.estimator is None else metric.estimator(inputs.settings),
        interval=None if interval is None else (interval.low, interval.high),
        interval_method="" if interval is None else interval.describe(),
    )


def compute_metrics(
    names: Sequence[str],
    real_features: TableSet,
    generated_features: TableSet,
    *,
    settings: MetricSettings | None = None,
) -> dict[str, float]:
    """Give the bare numbers by the names asked for, from features ``(N, D)`` and ``(M, D)``.

    Either may be tables by name, as for :func:`measure`.

    Raises:
        ConfigError, DataError, ProtocolError: as for :func:`measure`.

    """
    found = measure(names, real_features, generated_features, settings=settings)
    return {name: value.value for name, value in zip(names, found.values, strict=True)}


def _complete(
    protocol: Protocol,
    real: Mapping[str, Tensor] | None,
    generated: Mapping[str, Tensor],
    reference: FrechetReference | None,
) -> Protocol:
    """Fill in what is known here: the counts, and the reference's data hash."""
    count = None if real is None else _rows(real)
    digest = protocol.reference_digest
    if reference is not None:
        count = reference.statistics.count if count is None else count
        digest = reference.statistics.protocol.reference_digest if digest is None else digest
    return dataclasses.replace(
        protocol,
        generated_images=_rows(generated),
        reference_images=count,
        reference_digest=digest,
    )


def _rows(tables: Mapping[str, Tensor]) -> int:
    """How many images the tables are of.

    Raises:
        DataError: no table, or they differ.

    """
    counts = {name: len(table) for name, table in tables.items()}
    if len(set(counts.values())) != 1:
        raise DataError(
            f"The tables are not of the same images: {counts}",
            fix="give tables of one set of images, with a row for each",
        )
    return next(iter(counts.values()))
