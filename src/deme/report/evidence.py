"""``metrics.json`` with types: arms, numbers with deviations, paired differences, the floor."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..errors import StorageError
from ..metrics import METRICS

PRETRAINED = "pretrained"
EXCESS_METRIC = "frechet"
"""The metric whose excess over the floor a run records."""
MERGED = "merged"


@dataclass(frozen=True)
class Number:
    """A number over the noise seeds.

    Attributes:
        mean: over the seeds.
        deviation: standard deviation over the seeds; not a number where it is not known.
        values: one for each seed, where they were kept.
    """

    mean: float
    deviation: float
    values: tuple[float, ...] = ()

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Self:
        """From ``mean``, ``std`` and, where kept, ``values``; one value has no deviation."""
        values = tuple(float(value) for value in record.get("values", ()))
        deviation = math.nan if record["std"] is None or len(values) == 1 else float(record["std"])
        return cls(float(record["mean"]), deviation, values)


Numbers = Mapping[str, Number]


@dataclass(frozen=True)
class Arm:
    """One way to make images, and what it took.

    Attributes:
        name: its key.
        title: what a reader calls it.
        models: networks needed at inference.
        parameters: of all of them together.
        training_steps: optimizer steps that made it.
        training_images: images seen on the way.
        metrics: by detector, then by metric.
    """

    name: str
    title: str
    models: int
    parameters: int
    training_steps: int
    training_images: int
    metrics: Mapping[str, Numbers]

    def number(self, detector: str, metric: str) -> Number | None:
        """One of its numbers, where it was measured."""
        return self.metrics.get(detector, {}).get(metric)


@dataclass(frozen=True)
class Evidence:
    """All that a run measured, under one protocol.

    Attributes:
        protocol: how, in a line.
        metrics: in the order asked for; the first is the main one.
        seeds: the noise seeds.
        images: for each number and seed.
        detectors: the first is the search's, others it never saw.
        floor: real images against real images, by detector and metric.
        arms: by name.
        paired: merged minus another arm over the same seeds, by detector, metric and arm.
        excess: Fréchet distance over the floor by detector and arm, and the ``reduction``.
        notes: warnings.
    """

    protocol: str
    metrics: tuple[str, ...]
    seeds: tuple[int, ...]
    images: int
    detectors: tuple[str, ...]
    floor: Mapping[str, Numbers]
    arms: Mapping[str, Arm]
    paired: Mapping[str, Mapping[str, Numbers]]
    excess: Mapping[str, Mapping[str, float]]
    notes: tuple[str, ...]

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Self:
        """From the JSON object.

        Raises:
            StorageError: something that every run writes is missing or of another kind.
        """
        try:
            return cls(
                protocol=str(record["protocol"]),
                metrics=tuple(map(str, record["metrics"])),
                seeds=tuple(int(seed) for seed in record["seeds"]),
                images=int(record["images"]),
                detectors=tuple(map(str, record["detectors"])),
                floor={key: _numbers(value) for key, value in record.get("floor", {}).items()},
                arms={name: _arm(name, value) for name, value in record["arms"].items()},
                paired={
                    detector: {metric: _numbers(arms) for metric, arms in metrics.items()}
                    for detector, metrics in record.get("paired", {}).items()
                },
                excess=record.get("excess", {}),
                notes=tuple(map(str, record.get("notes", ()))),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(
                f"metrics.json is not what deme writes ({type(error).__name__}: {error})",
                fix="remove it and evaluate again",
            ) from error

    @property
    def main(self) -> tuple[str, str]:
        """The detector and the metric that the verdict is about."""
        return self.detectors[0], self.metrics[0]

    def difference(self, detector: str, metric: str, arm: str) -> Number | None:
        """Merged minus ``arm``, paired over the seeds, where it was measured."""
        return self.paired.get(detector, {}).get(metric, {}).get(arm)

    def numbers(self, detector: str, metric: str) -> list[Number]:
        """What the arms measured, those that did."""
        found = (arm.number(detector, metric) for arm in self.arms.values())
        return [number for number in found if number is not None]

    def excess_of_main(self) -> Mapping[str, float]:
        """Excess over the floor by arm in the main metric; empty where it is not recorded."""
        detector, metric = self.main
        return self.excess.get(detector, {}) if metric == EXCESS_METRIC else {}

    def floor_of(self, detector: str, metric: str) -> Number | None:
        """Real images against real images, where it was measured."""
        return self.floor.get(detector, {}).get(metric)


def _numbers(record: Mapping[str, Any]) -> Numbers:
    return {name: Number.from_mapping(value) for name, value in record.items()}


def _arm(name: str, record: Mapping[str, Any]) -> Arm:
    return Arm(
        name=name,
        title=str(record.get("title", name)),
        models=int(record["models"]),
        parameters=int(record["parameters"]),
        training_steps=int(record["training_steps"]),
        training_images=int(record["training_images"]),
        metrics={detector: _numbers(value) for detector, value in record["metrics"].items()},
    )


def higher_is_better(metric: str) -> bool:
    """Which way a metric goes; an unknown one is taken for a distance."""
    known = METRICS.get(metric)
    return known is not None and known.higher_is_better


METRIC_TITLES = {
    "frechet": "Fréchet distance",
    "kid": "KID",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "inception_score": "Inception score",
    "inception_score_unsplit": "Inception score, unsplit",
    "sfid": "sFID",
    "cmmd": "CMMD",
    "clip_score": "CLIP score",
    "reward": "image reward",
    "loss": "denoising loss",
}


def metric_title(metric: str) -> str:
    """What a reader calls a metric."""
    return METRIC_TITLES.get(metric, metric)
