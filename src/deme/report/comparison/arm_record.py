"""One arm of ``compare.json`` with types: its values, its differences, and what it took."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from ..evidence import Number

Entry = TypeVar("Entry")
Values = tuple[tuple[float, ...], ...]
"""For each training seed, a value for each noise seed."""


def number(value: Any) -> float:
    """A number; null is not a number."""
    return math.nan if value is None else float(value)


def optional(value: Any) -> float | None:
    """A number, or None where it was not measured."""
    return None if value is None else float(value)


def whole(value: Any) -> int | None:
    """A whole number, or None where it was not recorded."""
    return None if value is None else int(value)


@dataclass(frozen=True)
class Difference:
    """The reference arm minus another, paired over the seeds.

    Attributes:
        mean: of the differences.
        low: end of the confidence interval; not a number where there is a single seed.
        high: the other end.
        over: ``training`` or ``noise``: which seeds the interval is over.
        seeds: how many they are.

    """

    mean: float
    low: float
    high: float
    over: str
    seeds: int

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Self:
        """From the JSON object."""
        return cls(
            mean=number(record["mean"]),
            low=number(record.get("low")),
            high=number(record.get("high")),
            over=str(record.get("over", "training")),
            seeds=int(record.get("seeds", 1)),
        )

    @property
    def has_interval(self) -> bool:
        """Whether there were seeds enough for one, and all of it is finite."""
        return all(map(math.isfinite, (self.mean, self.low, self.high)))


@dataclass(frozen=True)
class Trial:
    """A setting that was tried for an arm.

    Attributes:
        learning_rate: of its training.
        average: relative width of the weights' average; None: the published average.
        value: of the objective on the search's noise; None where none was measured.

    """

    learning_rate: float
    average: float | None
    value: float | None = None

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Self:
        """From the JSON object."""
        average, value = optional(record.get("average")), optional(record.get("value"))
        return cls(float(record["learning_rate"]), average, value)

    @property
    def setting(self) -> tuple[float, float | None]:
        """What was tried, without what came of it."""
        return self.learning_rate, self.average


@dataclass(frozen=True)
class ArmRecord:
    """One arm, judged.

    Attributes:
        name: its key.
        title: what a reader calls it.
        kind: of arm.
        of: the arm that it is made of, if any.
        models: networks that sampling needs; None where it was not recorded.
        parameters: of all of them together.
        weight_bytes: memory that they take; None where it was not measured.
        flops_per_sample: floating-point operations of an image, all sampler steps.
        seconds_per_sample: measured, in seconds.
        sampler_steps: of its sampler.
        training_steps: optimizer steps, all its trainings together, tuning aside.
        training_images: images seen by them.
        training_flops: operations of them.
        search_images: images drawn to choose weights, routes or parts.
        facts: what was found for it at the first training seed.
        chosen: its setting; None where it was not tuned itself.
        trials: all settings that were tried.
        values: by detector and metric.
        metrics: mean and deviation, by detector and metric.
        against: the reference minus this arm, by detector and metric.

    """

    name: str
    title: str
    kind: str
    of: str | None
    models: int | None
    parameters: int
    weight_bytes: float | None
    flops_per_sample: float | None
    seconds_per_sample: float | None
    sampler_steps: int | None
    training_steps: int
    training_images: int
    training_flops: float | None
    search_images: int
    facts: Mapping[str, Any]
    chosen: Trial | None
    trials: tuple[Trial, ...]
    values: Mapping[str, Mapping[str, Values]]
    metrics: Mapping[str, Mapping[str, Number]]
    against: Mapping[str, Mapping[str, Difference]]

    @classmethod
    def from_mapping(cls, name: str, record: Mapping[str, Any]) -> Self:
        """From the JSON object.

        Raises:
            KeyError, TypeError, ValueError: it is not what deme writes.

        """
        chosen = record.get("chosen")
        return cls(
            name=name,
            title=str(record.get("title", name)),
            kind=str(record.get("kind", "")),
            of=None if record.get("of") is None else str(record["of"]),
            models=whole(record.get("models")),
            parameters=int(record["parameters"]),
            weight_bytes=optional(record.get("weight_bytes")),
            flops_per_sample=optional(record.get("flops_per_sample")),
            seconds_per_sample=optional(record.get("seconds_per_sample")),
            sampler_steps=whole(record.get("sampler_steps")),
            training_steps=int(record["training_steps"]),
            training_images=int(record["training_images"]),
            training_flops=optional(record.get("training_flops")),
            search_images=int(record.get("search_images", 0)),
            facts=dict(record.get("facts", {})),
            chosen=None if chosen is None else Trial.from_mapping(chosen),
            trials=tuple(map(Trial.from_mapping, record.get("trials", ()))),
            values=by_metric(record.get("values", {}), _values),
            metrics=by_metric(record["metrics"], spread),
            against=by_metric(record.get("against", {}), Difference.from_mapping),
        )

    def number(self, detector: str, metric: str) -> Number | None:
        """Mean and deviation, where it was measured."""
        return self.metrics.get(detector, {}).get(metric)

    def difference(self, detector: str, metric: str) -> Difference | None:
        """The reference minus this arm, where both were measured."""
        return self.against.get(detector, {}).get(metric)


def by_metric(
    record: Mapping[str, Any], read: Callable[[Any], Entry]
) -> dict[str, dict[str, Entry]]:
    """Reads every entry of detector → metric → entry."""
    return {
        detector: {metric: read(entry) for metric, entry in metrics.items()}
        for detector, metrics in record.items()
    }


def _values(rows: Sequence[Sequence[Any]]) -> Values:
    return tuple(tuple(number(value) for value in row) for row in rows)


def spread(record: Mapping[str, Any]) -> Number:
    """A mean and a deviation; null is not a number.

    An arm that is the same model at every training seed, as the pretrained one is, has a deviation
    of zero over them. That says nothing, so it is taken for unknown.
    """
    deviation = number(record.get("std"))
    return Number(number(record["mean"]), deviation if deviation else math.nan)
