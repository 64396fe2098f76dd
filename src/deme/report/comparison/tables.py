"""The table of arms before anyone draws it: every output shows the same."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..evidence import Number, higher_is_better, metric_title
from ..numbers import digits_for, with_deviation
from ..verdict import Outcome
from .arm_record import ArmRecord, Difference
from .quantities import interval, signed
from .record import ComparisonRecord
from .standing import judge, merit_of


@dataclass(frozen=True)
class Cell:
    """One number of one arm.

    Attributes:
        number: mean and deviation.
        text: the same in words: ``mean ± deviation``.
        difference: the reference minus this arm, with its sign; empty for the reference itself.
        interval: ``low to high`` of it; empty where there is none.
        outcome: of the reference against this arm.
        best: whether no arm has a better mean.

    """

    number: Number
    text: str
    difference: str
    interval: str
    outcome: Outcome
    best: bool


@dataclass(frozen=True)
class Row:
    """One arm; ``arm`` is None while it is pending, a cell where it was not measured."""

    title: str
    arm: ArmRecord | None
    is_reference: bool
    cells: tuple[Cell | None, ...]


@dataclass(frozen=True)
class QualityTable:
    """All arms under one detector.

    Attributes:
        detector: the feature network.
        seen: whether the search saw it.
        metrics: the columns by name.
        columns: their headings, each with an arrow to its better side.
        digits: after the point, for each column.
        rows: the judged arms in the record's order, then the pending ones.
        floor: real against real for each column, where known.

    """

    detector: str
    seen: bool
    metrics: tuple[str, ...]
    columns: tuple[str, ...]
    digits: tuple[int, ...]
    rows: tuple[Row, ...]
    floor: tuple[str | None, ...]

    @property
    def has_floor(self) -> bool:
        """Whether any column has one."""
        return any(self.floor)


def quality_tables(record: ComparisonRecord) -> list[QualityTable]:
    """One table for each detector, the search's first."""
    return [_table(record, detector) for detector in record.detectors]


def _table(record: ComparisonRecord, detector: str) -> QualityTable:
    columns = [_Column(record, detector, metric) for metric in record.metrics]
    judged = tuple(
        Row(
            arm.title,
            arm,
            arm.name == record.reference,
            tuple(column.cell(arm) for column in columns),
        )
        for arm in record.arms.values()
    )
    pending = tuple(
        Row(record.title(name), None, name == record.reference, (None,) * len(columns))
        for name in record.missing
    )
    return QualityTable(
        detector=detector,
        seen=detector == record.detectors[0],
        metrics=record.metrics,
        columns=tuple(column.heading for column in columns),
        digits=tuple(column.digits for column in columns),
        rows=judged + pending,
        floor=tuple(column.floor for column in columns),
    )


class _Column:
    """One metric under one detector, its digits the same in every row."""

    def __init__(self, record: ComparisonRecord, detector: str, metric: str) -> None:
        self.record, self.detector, self.metric = record, detector, metric
        numbers = record.numbers(detector, metric)
        self.digits = digits_for(numbers)
        self.best = min((merit_of(number.mean, metric) for number in numbers), default=math.inf)

    @property
    def heading(self) -> str:
        return f"{metric_title(self.metric)} {'↑' if higher_is_better(self.metric) else '↓'}"

    @property
    def floor(self) -> str | None:
        number = self.record.floor_of(self.detector, self.metric)
        return None if number is None else with_deviation(number, self.digits)

    def cell(self, arm: ArmRecord) -> Cell | None:
        number = arm.number(self.detector, self.metric)
        if number is None:
            return None
        difference = arm.difference(self.detector, self.metric)
        own = arm.name == self.record.reference
        shown, ends = ("", "") if own or difference is None else self._texts(difference)
        return Cell(
            number=number,
            text=with_deviation(number, self.digits),
            difference=shown,
            interval=ends,
            outcome="unknown" if own else judge(difference, self.metric),
            best=math.isfinite(self.best) and merit_of(number.mean, self.metric) == self.best,
        )

    def _texts(self, difference: Difference) -> tuple[str, str]:
        return signed(difference.mean, self.digits), interval(difference, self.digits)
