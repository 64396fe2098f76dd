"""Where the reference arm stands among the others on one detector."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..evidence import higher_is_better
from ..verdict import Outcome
from .arm_record import ArmRecord, Difference
from .record import ComparisonRecord


def judge(difference: Difference | None, metric: str) -> Outcome:
    """The reference against another arm.

    Better or worse needs an interval of the paired difference that is clear of zero; without an
    interval nothing is decided.
    """
    if difference is None or not difference.has_interval:
        return "unknown"
    if difference.low <= 0 <= difference.high:
        return "level"
    return "better" if (difference.mean > 0) == higher_is_better(metric) else "worse"


@dataclass(frozen=True)
class Standing:
    """The reference's place on one detector in one metric.

    Attributes:
        detector: the feature network.
        metric: what the place is by.
        place: one more than the arms with a better mean.
        arms: how many were measured, the reference included.
        better: the arms that it is better than, beyond the interval.
        level: those that it cannot be told from.
        worse: those that are better, beyond the interval; the furthest ahead first.
        unknown: those without an interval.

    """

    detector: str
    metric: str
    place: int
    arms: int
    better: tuple[ArmRecord, ...]
    level: tuple[ArmRecord, ...]
    worse: tuple[ArmRecord, ...]
    unknown: tuple[ArmRecord, ...]

    @property
    def outcome(self) -> Outcome:
        """Better where it is first and clear of all; worse where any arm is clear of it."""
        if self.worse:
            return "worse"
        if self.better and not self.level and not self.unknown:
            return "better"
        return "level" if self.better or self.level else "unknown"


def standing(record: ComparisonRecord, detector: str, metric: str) -> Standing | None:
    """The reference's place; None where it, or all other arms, were not measured."""
    reference = record.reference_arm
    own = None if reference is None else reference.number(detector, metric)
    others = [arm for arm in record.others if arm.number(detector, metric) is not None]
    if own is None or not others:
        return None
    found: dict[Outcome, list[ArmRecord]] = {"better": [], "level": [], "worse": [], "unknown": []}
    for arm in others:
        found[judge(arm.difference(detector, metric), metric)].append(arm)
    found["worse"].sort(key=lambda arm: merit(arm, detector, metric))
    ahead = merit_of(own.mean, metric)
    place = 1 + sum(merit(arm, detector, metric) < ahead for arm in others)
    return Standing(
        detector=detector,
        metric=metric,
        place=place,
        arms=1 + len(others),
        better=tuple(found["better"]),
        level=tuple(found["level"]),
        worse=tuple(found["worse"]),
        unknown=tuple(found["unknown"]),
    )


def merit(arm: ArmRecord, detector: str, metric: str) -> float:
    """An arm's mean turned so that less is better; infinite where it has none."""
    found = arm.number(detector, metric)
    return math.inf if found is None else merit_of(found.mean, metric)


def merit_of(mean: float, metric: str) -> float:
    """A mean turned so that less is better; infinite where it is not finite."""
    if not math.isfinite(mean):
        return math.inf
    return -mean if higher_is_better(metric) else mean
