"""``compare.json`` with types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from ...errors import StorageError
from ...files import read_json
from ..evidence import Number
from .arm_record import ArmRecord, by_metric, number, optional, spread

RECORD = "compare.json"


@dataclass(frozen=True)
class Budget:
    """What each arm may take for its trainings, tuning aside.

    Attributes:
        steps: optimizer steps in all.
        images_per_step: of one of them.
        images: both multiplied.

    """

    steps: int
    images_per_step: int
    images: int


@dataclass(frozen=True)
class TrialPlan:
    """What every arm was tuned over.

    Attributes:
        learning_rates: each is a training at the whole budget.
        averages: relative widths of the weights' average, tried at the best rate.
        count: trials for each arm.
        tuned_at: the training seeds at which arms were tuned.
        objective: metric and detector that decided.

    """

    learning_rates: tuple[float, ...]
    averages: tuple[float, ...]
    count: int
    tuned_at: tuple[int, ...]
    objective: str


@dataclass(frozen=True)
class CurvePoint:
    """An arm at a number of sampler steps; seconds and operations are of one image."""

    arm: str
    sampler_steps: int
    flops: float | None
    seconds: float | None
    metrics: Mapping[str, Mapping[str, Number]]


@dataclass(frozen=True)
class ComparisonRecord:
    """All that a comparison found, finished or under way.

    Attributes:
        name: of the comparison.
        protocol: how every number was made, in a line.
        metrics: the first is the main one.
        detectors: the first is the search's, the others it never saw.
        floor: real images against real images, by detector and metric.
        training_seeds: each arm was trained with each.
        noise_seeds: each of those models drew images with each.
        images: for each of them.
        confidence: of the intervals of differences, in (0, 1).
        reference: the arm that the others are compared with.
        budget: of each arm.
        plan: what every arm was tuned over.
        arms: those that were judged, by name, in the table's order.
        curve: quality against time.
        notes: warnings.
        missing: arms that were not judged yet.
        raw: the JSON object itself.

    """

    name: str
    protocol: str
    metrics: tuple[str, ...]
    detectors: tuple[str, ...]
    floor: Mapping[str, Mapping[str, Number]]
    training_seeds: tuple[int, ...]
    noise_seeds: tuple[int, ...]
    images: int
    confidence: float
    reference: str
    budget: Budget
    plan: TrialPlan
    arms: Mapping[str, ArmRecord]
    curve: tuple[CurvePoint, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]
    raw: Mapping[str, Any]

    @classmethod
    def from_mapping(cls, record: Mapping[str, Any]) -> Self:
        """From the JSON object.

        Raises:
            StorageError: something that every comparison writes is missing or of another kind.

        """
        try:
            found = cls(
                name=str(record["name"]),
                protocol=str(record["protocol"]),
                metrics=tuple(map(str, record["metrics"])),
                detectors=tuple(map(str, record["detectors"])),
                floor=by_metric(record.get("floor", {}), spread),
                training_seeds=tuple(map(int, record["seeds"]["training"])),
                noise_seeds=tuple(map(int, record["seeds"]["noise"])),
                images=int(record["images"]),
                confidence=float(record.get("confidence", 0.95)),
                reference=str(record["reference"]),
                budget=_budget(record["budget"]),
                plan=_plan(record["trials"]),
                arms={n: ArmRecord.from_mapping(n, arm) for n, arm in record["arms"].items()},
                curve=tuple(map(_point, record.get("curve", ()))),
                notes=tuple(map(str, record.get("notes", ()))),
                missing=tuple(map(str, record.get("missing", ()))),
                raw=record,
            )
            _check(found)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(
                f"{RECORD} is not what deme writes ({type(error).__name__}: {error})",
                fix="remove it and repeat `deme compare`; arms that are done are not done again",
            ) from error
        return found

    @property
    def main(self) -> tuple[str, str]:
        """The search's detector and the metric that the verdict is about."""
        return self.detectors[0], self.metrics[0]

    @cached_property
    def reference_arm(self) -> ArmRecord | None:
        """The reference; None while it was not judged."""
        return self.arms.get(self.reference)

    @property
    def reference_title(self) -> str:
        """What a reader calls the reference, judged or not."""
        return self.title(self.reference)

    @property
    def others(self) -> tuple[ArmRecord, ...]:
        """All arms that were judged, save the reference."""
        return tuple(arm for arm in self.arms.values() if arm.name != self.reference)

    def title(self, arm: str) -> str:
        """What a reader calls an arm, judged or not."""
        if arm in self.arms:
            return self.arms[arm].title
        return str(self.raw.get("titles", {}).get(arm, arm.replace("_", " ")))

    def floor_of(self, detector: str, metric: str) -> Number | None:
        """Real images against real images, where it was measured."""
        return self.floor.get(detector, {}).get(metric)

    def numbers(self, detector: str, metric: str) -> list[Number]:
        """What the arms measured, those that did."""
        found = (arm.number(detector, metric) for arm in self.arms.values())
        return [value for value in found if value is not None]


def read_comparison(folder: Path) -> ComparisonRecord:
    """The record of a comparison's folder.

    Raises:
        StorageError: there is none, or it is not what deme writes.

    """
    path = folder / RECORD
    if not path.is_file():
        raise StorageError(
            f"{folder} has no {RECORD}: no arm of it has been judged",
            fix="give the folder that `deme compare` made, or repeat `deme compare`",
        )
    record = read_json(path)
    if not isinstance(record, Mapping):
        raise StorageError(f"{path} does not hold a JSON object", fix="repeat `deme compare`")
    return ComparisonRecord.from_mapping(record)


def _budget(record: Mapping[str, Any]) -> Budget:
    return Budget(int(record["steps"]), int(record["images_per_step"]), int(record["images"]))


def _plan(record: Mapping[str, Any]) -> TrialPlan:
    rates = tuple(map(number, record["learning_rates"]))
    averages = tuple(map(number, record.get("averages", ())))
    return TrialPlan(
        learning_rates=rates,
        averages=averages,
        count=int(record.get("count", len(rates) + len(averages))),
        tuned_at=tuple(map(int, record.get("tuned_at", ()))),
        objective=str(record.get("objective", "")),
    )


def _point(record: Mapping[str, Any]) -> CurvePoint:
    return CurvePoint(
        arm=str(record["arm"]),
        sampler_steps=int(record["sampler_steps"]),
        flops=optional(record.get("flops")),
        seconds=optional(record.get("seconds")),
        metrics=by_metric(record["metrics"], spread),
    )


def _check(record: ComparisonRecord) -> None:
    """What the parts say of each other.

    Raises:
        ValueError: they do not fit together.

    """
    if not record.metrics or not record.detectors:
        raise ValueError("no metric or no detector")
    shape = (len(record.training_seeds), len(record.noise_seeds))
    for arm in record.arms.values():
        for detector, metrics in arm.values.items():
            for metric, rows in metrics.items():
                if len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
                    raise ValueError(
                        f"arms.{arm.name}.values.{detector}.{metric} has not a value for each of "
                        f"{shape[0]} training seeds and {shape[1]} noise seeds"
                    )
