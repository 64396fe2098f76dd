"""The landscape that a search predicts, in slices through its best point (Fig. 6a of the paper).

A slice varies two axes and holds all others at the best point. Evaluated points lie off the slice
in the other axes, so each carries how near it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .landscape_marks import MARGIN, Extent
from .search_record import SearchRecord

REACH = 0.2
"""A point this far off a slice, relative to the axes' bounds, has ``exp(−1/2)`` of a dot."""

WORST_SHOWN = 0.8
"""Colours end at this quantile of the predicted values: the corners must not wash out the rest."""


@dataclass(frozen=True)
class Slice:
    """Predicted values over two axes, and the evaluated points seen on them.

    Attributes:
        x: ``(C,)``, increasing, along the column's axis.
        y: ``(R,)``, increasing, along the row's axis.
        values: ``(R, C)``, rows go up with y; not a number where nothing finite was predicted.
        points: ``(P, 2)``, the evaluated points' coordinates on the two axes.
        nearness: ``(P,)`` in (0, 1], 1 on the slice: ``exp(−d² / (2 REACH²))`` of the distance d in
            the other axes, each relative to its bounds.

    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    values: NDArray[np.float64]
    points: NDArray[np.float64]
    nearness: NDArray[np.float64]


@dataclass(frozen=True)
class PredictedLandscape:
    """Slices of the axes shown.

    Attributes:
        names: the axes shown.
        left_out: axes of least effect, left out where there are too many to show.
        extents: what is shown of each axis, lowest and highest.
        panels: by (row, column) with column < row; pairs that were not predicted are absent.
        measured: ``(P,)`` values of the evaluated points, the same in each panel.
        optimum: the best candidate.
        zero: where the pretrained model is on each axis; None on those that are no weights.
        uniform: 1/N, N being all experts; None on axes that are no weights.
        best: the lowest predicted value shown.
        worst_shown: where the colours end.

    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]
    extents: tuple[Extent, ...]
    panels: dict[tuple[int, int], Slice]
    measured: NDArray[np.float64]
    optimum: tuple[float, ...]
    zero: tuple[float | None, ...]
    uniform: tuple[float | None, ...]
    best: float
    worst_shown: float


def predicted_landscape(search: Mapping[str, Any], *, limit: int = 6) -> PredictedLandscape | None:
    """The slices of a record's ``landscape``; None where the strategy predicted none.

    Args:
        search: what ``search/result.json`` holds.
        limit: at most this many axes are shown: those along which the prediction varies most.

    Raises:
        DataError: the slices do not fit the axes, or nothing in them is finite.

    """
    predicted = search.get("landscape")
    if not predicted or not predicted.get("slices"):
        return None
    record = SearchRecord.from_mapping(search)
    found = dict(_slice(item, predicted, record) for item in predicted["slices"])
    if not any(np.isfinite(panel.values).any() for panel in found.values()):
        raise DataError("Nothing in the search's predicted landscape is finite")
    kept = _most_varied(found, limit)
    place = {axis: index for index, axis in enumerate(kept)}
    panels = {
        (place[row], place[column]): panel
        for (row, column), panel in found.items()
        if row in place and column in place
    }
    shown = np.concatenate([panel.values[np.isfinite(panel.values)] for panel in panels.values()])
    axes = {axis for pair in found for axis in pair}
    return PredictedLandscape(
        names=tuple(record.axes[axis].name for axis in kept),
        left_out=tuple(record.axes[axis].name for axis in sorted(axes - set(kept))),
        extents=tuple(_extent(panels, index) for index in range(len(kept))),
        panels=panels,
        measured=np.array([item.value for item in record.full if np.isfinite(item.value)]),
        optimum=tuple(record.point[axis] for axis in kept),
        zero=tuple(record.zero[axis] for axis in kept),
        uniform=tuple(record.uniform[axis] for axis in kept),
        best=float(shown.min()),
        worst_shown=float(np.quantile(shown, WORST_SHOWN)),
    )


def _slice(
    item: Mapping[str, Any], predicted: Mapping[str, Any], record: SearchRecord
) -> tuple[tuple[int, int], Slice]:
    """A slice by (row, column), turned so that the column is the earlier axis."""
    column, row = int(item["x"]), int(item["y"])
    x, y = np.array(item["xs"], dtype=np.float64), np.array(item["ys"], dtype=np.float64)
    values = np.array(item["values"], dtype=np.float64)
    count = len(record.axes)
    if values.shape != (len(y), len(x)) or column == row or not 0 <= min(column, row) < count:
        raise DataError(f"A slice of {values.shape} values over axes {column}, {row} does not fit")
    if max(column, row) >= count or len(predicted["at"]) != count:
        raise DataError(f"The predicted landscape does not fit {count} axes")
    if column > row:
        column, row, x, y, values = row, column, y, x, values.T
    values = np.where(np.isfinite(values), values, np.nan)
    points = np.array([e.point for e in record.full if np.isfinite(e.value)]).reshape(-1, count)
    widths = np.array([(axis.high - axis.low) or 1.0 for axis in record.axes])
    offset = (points - np.array(predicted["at"], dtype=np.float64)) / widths
    squared = np.delete(offset**2, [column, row], axis=1).sum(axis=1)
    nearness = np.exp(-squared / (2 * REACH**2))
    return (row, column), Slice(x, y, values, points[:, [column, row]], nearness)


def _most_varied(found: Mapping[tuple[int, int], Slice], limit: int) -> list[int]:
    """The axes along which the prediction varies most, in their own order."""
    effect: dict[int, float] = {}
    for (row, column), panel in found.items():
        known = np.nan_to_num(panel.values, nan=float(np.nanmedian(panel.values)))
        for axis, along in ((row, 0), (column, 1)):
            span = float(np.median(np.ptp(known, axis=along)))
            effect[axis] = max(effect.get(axis, 0.0), span)
    ranked = sorted(effect, key=lambda axis: (-effect[axis], axis))
    return sorted(ranked[:limit])


def _extent(panels: Mapping[tuple[int, int], Slice], axis: int) -> Extent:
    grids = [panel.y for (row, _), panel in panels.items() if row == axis]
    grids += [panel.x for (_, column), panel in panels.items() if column == axis]
    low = min((float(grid.min()) for grid in grids), default=0.0)
    high = max((float(grid.max()) for grid in grids), default=1.0)
    margin = MARGIN * ((high - low) or 1.0)
    return low - margin, high + margin
