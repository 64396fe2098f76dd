"""Class labels from a column of integers, names or ``ClassLabel``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from .columns import NO_COLUMN


@dataclass(frozen=True)
class Labels:
    """The labels of a data set."""

    values: Tensor
    """Int64 ``(N,)`` in ``[0, count)``."""
    count: int
    """The number of classes."""
    names: tuple[str, ...] | None
    """The name of each class, where known."""


def read_labels(
    values: Sequence[Any], names: Sequence[str] | None, where: str, chosen: bool
) -> Labels | None:
    """Labels from a column's values.

    Strings become the index of their name in sorted order. A column that the user did not name
    and that labels nothing (all missing, or all negative as in a hub's unlabelled test splits)
    counts as absent.

    Args:
        values: integers, booleans or strings; None where missing.
        names: the classes' names, for a ``ClassLabel`` column.
        where: the column and data set, for messages.
        chosen: whether the user named the column.

    Raises:
        DataError: some labels are missing, negative or beyond the classes.

    """
    if not values or (not chosen and all(_labels_nothing(value) for value in values)):
        return None
    if names is None and any(isinstance(value, str) for value in values):
        names = sorted({value for value in values if value is not None})
        index = {name: position for position, name in enumerate(names)}
        values = [None if value is None else index[value] for value in values]
    for row, value in enumerate(values):
        if value is None or value < 0 or (names is not None and value >= len(names)):
            raise DataError(
                f"{where} labels row {row} with {value!r}, which is not a class",
                fix=f"choose another data.label_column, or {NO_COLUMN!r} to train without labels",
            )
    tensor = torch.tensor(values, dtype=torch.int64)
    count = len(names) if names is not None else int(tensor.max()) + 1
    return Labels(tensor, count, None if names is None else tuple(names))


def _labels_nothing(value: Any) -> bool:
    return value is None or (not isinstance(value, str) and value < 0)
