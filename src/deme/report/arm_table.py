"""The table of arms before anyone draws it: HTML, Markdown and the terminal show the same."""

from __future__ import annotations

from dataclasses import dataclass

from .evidence import MERGED, Arm, Evidence, Number, higher_is_better, metric_title
from .numbers import digits_for, signed_with_deviation, with_deviation
from .verdict import Outcome, judge


@dataclass(frozen=True)
class Cell:
    """One number of one arm.

    Attributes:
        text: ``mean ± deviation``.
        difference: merged minus this arm, paired; empty for merged itself.
        outcome: of merged against this arm.
        best: whether no arm has a better mean.
    """

    text: str
    difference: str
    outcome: Outcome
    best: bool


@dataclass(frozen=True)
class Row:
    """One arm; a cell is None where it was not measured."""

    arm: Arm
    cells: tuple[Cell | None, ...]

    @property
    def is_merged(self) -> bool:
        """Whether it is the arm that the run is about."""
        return self.arm.name == MERGED


@dataclass(frozen=True)
class ArmTable:
    """All arms under one detector.

    Attributes:
        detector: the feature network.
        columns: the metrics, each with an arrow to its better side.
        rows: the arms.
        floor: real against real for each column, where known.
    """

    detector: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    floor: tuple[str | None, ...]

    @property
    def has_floor(self) -> bool:
        """Whether any column has one."""
        return any(self.floor)


def arm_tables(evidence: Evidence) -> list[ArmTable]:
    """One table for each detector, in the order of the record."""
    return [_arm_table(evidence, detector) for detector in evidence.detectors]


def _arm_table(evidence: Evidence, detector: str) -> ArmTable:
    columns = [_Column(evidence, detector, metric) for metric in evidence.metrics]
    return ArmTable(
        detector=detector,
        columns=tuple(column.heading for column in columns),
        rows=tuple(
            Row(arm, tuple(column.cell(arm) for column in columns))
            for arm in evidence.arms.values()
        ),
        floor=tuple(column.floor for column in columns),
    )


class _Column:
    """One metric under one detector, its digits the same in every row."""

    def __init__(self, evidence: Evidence, detector: str, metric: str) -> None:
        self.evidence, self.detector, self.metric = evidence, detector, metric
        self.numbers = evidence.numbers(detector, metric)
        self.digits = digits_for(self.numbers)

    @property
    def heading(self) -> str:
        return f"{metric_title(self.metric)} {'↑' if higher_is_better(self.metric) else '↓'}"

    @property
    def floor(self) -> str | None:
        number = self.evidence.floor_of(self.detector, self.metric)
        return None if number is None else with_deviation(number, self.digits)

    def cell(self, arm: Arm) -> Cell | None:
        number = arm.number(self.detector, self.metric)
        if number is None:
            return None
        difference = self.evidence.difference(self.detector, self.metric, arm.name)
        if arm.name == MERGED or difference is None:
            shown, outcome = "", "unknown"
        else:
            shown = signed_with_deviation(difference, self.digits)
            outcome = judge(difference, self.metric, len(self.evidence.seeds))
        return Cell(with_deviation(number, self.digits), shown, outcome, self._is_best(number))

    def _is_best(self, number: Number) -> bool:
        means = [other.mean for other in self.numbers]
        return number.mean == (max(means) if higher_is_better(self.metric) else min(means))
