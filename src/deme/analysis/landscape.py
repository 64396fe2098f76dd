"""The objective over every pair of searched numbers, as measured (Fig. 6a), in any dimension.

A search knows the objective at scattered points of N dimensions. Over a pair of axes, a point
shows the best value that any evaluation with these two coordinates reached, whatever the others
were; between points the nearest one's value stands, so nothing is shown that was not measured.
Where a search did not walk on a grid, the best evaluation of each small stretch of an axis stands
for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .landscape_marks import MARGIN, Extent
from .search_record import Axis, SearchRecord

WORST_SHOWN = 0.85
"""Colours end at this quantile of the shown values: the far corners must not wash out the rest."""

MOST_LEVELS = 16
"""An axis with more distinct values than this was not searched on a grid: stretches are shown."""


@dataclass(frozen=True)
class WeightProfile:
    """The best value reached at each evaluated place of one axis, in increasing order."""

    weights: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class PairPanel:
    """The best value reached at each evaluated place of two axes.

    Attributes:
        x: the column's coordinate at each point.
        y: the row's coordinate at each point.
        values: the best value there.
        raster: ``(R, R)``, the nearest point's value; rows go up with y.

    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    values: tuple[float, ...]
    raster: NDArray[np.float64]


@dataclass(frozen=True)
class Landscape:
    """Profiles and pair panels of the axes shown.

    Attributes:
        names: the axes shown: experts, or what was searched beside their weights.
        left_out: axes of least effect, left out where there are too many to show.
        extents: what is shown of each axis, lowest and highest.
        profiles: one for each axis.
        panels: by (row, column) with column < row.
        optimum: the best candidate.
        zero: where the pretrained model is on each axis; None on those that are no weights.
        uniform: 1/N, N being all experts; None on axes that are no weights.
        best: the lowest value.
        worst_shown: where the colours end.
        not_finite: how many evaluations had no finite value and are not shown.

    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]
    extents: tuple[tuple[float, float], ...]
    profiles: tuple[WeightProfile, ...]
    panels: dict[tuple[int, int], PairPanel]
    optimum: tuple[float, ...]
    zero: tuple[float | None, ...]
    uniform: tuple[float | None, ...]
    best: float
    worst_shown: float
    not_finite: int


def landscape(search: Mapping[str, Any], *, limit: int = 8, resolution: int = 48) -> Landscape:
    """Projects a search's evaluations onto every axis and every pair of axes.

    Evaluations with fewer images than others are left out: their values are not comparable.

    Args:
        search: what ``search/result.json`` holds.
        limit: at most this many axes are shown: those that move the best value most.
        resolution: R of the panels' rasters.

    Raises:
        DataError: no evaluation has a finite value, or the points do not fit the axes.

    """
    record = SearchRecord.from_mapping(search)
    points, values, not_finite = _evaluations(record)
    extents = [_extent(column, axis) for column, axis in zip(points.T, record.axes, strict=True)]
    profiles = [_profile(column, values, at) for column, at in zip(points.T, extents, strict=True)]
    kept = _most_effective(profiles, limit)
    panels = {
        (i, j): _panel(
            points[:, [kept[j], kept[i]]], values, (extents[kept[j]], extents[kept[i]]), resolution
        )
        for i in range(len(kept))
        for j in range(i)
    }
    shown = [value for panel in panels.values() for value in panel.values]
    shown = shown or list(profiles[0].values)
    names = [axis.name for axis in record.axes]
    return Landscape(
        names=tuple(names[index] for index in kept),
        left_out=tuple(name for index, name in enumerate(names) if index not in kept),
        extents=tuple(extents[index] for index in kept),
        profiles=tuple(profiles[index] for index in kept),
        panels=panels,
        optimum=tuple(record.point[index] for index in kept),
        zero=tuple(record.zero[index] for index in kept),
        uniform=tuple(record.uniform[index] for index in kept),
        best=float(values.min()),
        worst_shown=float(np.quantile(shown, WORST_SHOWN)),
        not_finite=not_finite,
    )


def _evaluations(record: SearchRecord) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    points = np.array([item.point for item in record.full], dtype=np.float64)
    values = np.array([item.value for item in record.full], dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        raise DataError("No evaluation of the search has a finite value")
    return points[finite], values[finite], int((~finite).sum())


def _best_at(
    places: NDArray[np.float64], values: NDArray[np.float64], extents: Sequence[Extent]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best evaluation at each place ``(P, k)``, places in increasing order."""
    # Several evaluations for each place: the best of one alone would be its noise.
    stretches = int((len(places) / 4) ** (1 / places.shape[1]))
    stretches = min(max(stretches, 4), MOST_LEVELS)
    groups = np.column_stack(
        [_groups(axis, at, stretches) for axis, at in zip(places.T, extents, strict=True)]
    )
    order = np.lexsort((values, *groups.T[::-1]))
    _, first = np.unique(groups[order], axis=0, return_index=True)
    kept = order[first]
    return places[kept], values[kept]


def _groups(weights: NDArray[np.float64], extent: Extent, stretches: int) -> NDArray[np.float64]:
    """What is one value of a weight: the value itself on a grid, or else a stretch of the axis."""
    # Rounded: grid steps that differ in the last bit are one value.
    rounded = weights.round(9)
    if len(np.unique(rounded)) <= MOST_LEVELS:
        return rounded
    low, high = extent
    return np.floor((weights - low) / (high - low) * stretches)


def _profile(
    weights: NDArray[np.float64], values: NDArray[np.float64], extent: Extent
) -> WeightProfile:
    at, best = _best_at(weights[:, None], values, [extent])
    order = at[:, 0].argsort()
    return WeightProfile(tuple(at[order, 0].tolist()), tuple(best[order].tolist()))


def _most_effective(profiles: Sequence[WeightProfile], limit: int) -> list[int]:
    spans = [max(profile.values) - min(profile.values) for profile in profiles]
    ranked = sorted(range(len(spans)), key=lambda index: (-spans[index], index))
    return sorted(ranked[:limit])


def _extent(coordinates: NDArray[np.float64], axis: Axis) -> Extent:
    low = min(axis.low, float(coordinates.min()))
    high = max(axis.high, float(coordinates.max()))
    margin = MARGIN * ((high - low) or 1.0)
    return low - margin, high + margin


def _panel(
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    extents: tuple[Extent, Extent],
    resolution: int,
) -> PairPanel:
    at, known = _best_at(places, values, extents)
    columns, rows = (_centres(extent, resolution) for extent in extents)
    width, height = (high - low for low, high in extents)
    raster = np.empty((resolution, resolution))
    for row, y in enumerate(rows):
        distances = ((columns[:, None] - at[:, 0]) / width) ** 2 + ((y - at[:, 1]) / height) ** 2
        raster[row] = known[distances.argmin(axis=1)]
    return PairPanel(
        tuple(at[:, 0].tolist()), tuple(at[:, 1].tolist()), tuple(known.tolist()), raster
    )


def _centres(extent: Extent, resolution: int) -> NDArray[np.float64]:
    low, high = extent
    return low + (np.arange(resolution) + 0.5) * (high - low) / resolution
