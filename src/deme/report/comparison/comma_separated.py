"""The same numbers for a spreadsheet or a data frame: every value in a row of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from .record import ComparisonRecord

VALUE_COLUMNS = ("arm", "training_seed", "noise_seed", "detector", "metric", "value")
ARM_COLUMNS = (
    "arm",
    "title",
    "kind",
    "of",
    "models",
    "parameters",
    "weight_bytes",
    "sampler_steps",
    "flops_per_sample",
    "seconds_per_sample",
    "training_steps",
    "training_images",
    "training_flops",
    "search_images",
    "learning_rate",
    "average",
)


def values_csv(record: ComparisonRecord) -> str:
    """Every value of every arm, for each training seed and noise seed; full precision."""
    rows = [
        (arm.name, training, noise, detector, metric, value)
        for arm in record.arms.values()
        for detector, metrics in arm.values.items()
        for metric, series in metrics.items()
        for training, row in zip(record.training_seeds, series, strict=True)
        for noise, value in zip(record.noise_seeds, row, strict=True)
    ]
    return _table(VALUE_COLUMNS, rows)


def arms_csv(record: ComparisonRecord) -> str:
    """What each arm took, and its setting; what is not known is empty."""
    rows = [
        (
            arm.name,
            *(getattr(arm, column) for column in ARM_COLUMNS[1:-2]),
            None if arm.chosen is None else arm.chosen.learning_rate,
            None if arm.chosen is None else arm.chosen.average,
        )
        for arm in record.arms.values()
    ]
    return _table(ARM_COLUMNS, rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
