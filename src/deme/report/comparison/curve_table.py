"""The points of the time-quality curve as rows."""

from __future__ import annotations

from dataclasses import dataclass

from ..numbers import digits_for, with_deviation
from .quantities import NOT_KNOWN, milliseconds, short
from .record import ComparisonRecord


@dataclass(frozen=True)
class CurveRow:
    """An arm at a number of sampler steps; a number of the main metric for each detector."""

    title: str
    sampler_steps: int
    time: str
    flops: str
    numbers: tuple[str, ...]


def curve_rows(record: ComparisonRecord) -> list[CurveRow]:
    """A row for each point, in the record's order."""
    metric = record.metrics[0]
    digits = {name: digits_for(record.numbers(name, metric)) for name in record.detectors}
    rows = []
    for point in record.curve:
        found = [point.metrics.get(detector, {}).get(metric) for detector in record.detectors]
        numbers = tuple(
            NOT_KNOWN if number is None else with_deviation(number, digits[detector])
            for number, detector in zip(found, record.detectors, strict=True)
        )
        rows.append(
            CurveRow(
                title=record.title(point.arm),
                sampler_steps=point.sampler_steps,
                time=milliseconds(point.seconds),
                flops=short(point.flops),
                numbers=numbers,
            )
        )
    return rows
