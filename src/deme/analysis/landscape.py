"""The search's objective over every pair of merging weights (Fig. 6a), for any number of experts.

A search knows the objective at scattered points of N dimensions. Over a pair of weights, a point
shows the best value that any evaluation with these two weights reached, whatever the others were;
between points the nearest one's value stands, so nothing is shown that was not measured. Where a
search did not walk on a grid, the best evaluation of each small stretch of an axis stands for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

WORST_SHOWN = 0.85
"""Colours end at this quantile of the shown values: the far corners must not wash out the rest."""

MOST_LEVELS = 16
"""A weight with more distinct values than this was not searched on a grid: stretches are shown."""


@dataclass(frozen=True)
class WeightProfile:
    """The best value reached with each evaluated value of one weight, in increasing order."""

    weights: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class PairPanel:
    """The best value reached with each evaluated pair of two weights.

    Attributes:
        x: the column's weight at each point.
        y: the row's weight at each point.
        values: the best value there.
        raster: ``(R, R)``, the nearest point's value; rows go up with y.

    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    values: tuple[float, ...]
    raster: NDArray[np.float64]


@dataclass(frozen=True)
class Landscape:
    """Profiles and pair panels of the experts shown.

    Attributes:
        names: the experts shown.
        left_out: experts of least effect, left out where there are too many to show.
        extent: the weights shown, lowest and highest.
        profiles: one for each expert.
        panels: by (row, column) with column < row.
        optimum: the weights of the best candidate.
        uniform: 1/N, N being all experts.
        best: the lowest value.
        worst_shown: where the colours end.
        not_finite: how many evaluations had no finite value and are not shown.

    """

    names: tuple[str, ...]
    left_out: tuple[str, ...]
    extent: tuple[float, float]
    profiles: tuple[WeightProfile, ...]
    panels: dict[tuple[int, int], PairPanel]
    optimum: tuple[float, ...]
    uniform: float
    best: float
    worst_shown: float
    not_finite: int


def landscape(search: Mapping[str, Any], *, limit: int = 8, resolution: int = 48) -> Landscape:
    """Projects a search's evaluations onto every weight and every pair of weights.

    Args:
        search: ``experts``, ``weights``, ``bounds``, and ``evaluations`` of ``weights``, ``value``.
        limit: at most this many experts are shown: those whose weight moves the best value most.
        resolution: R of the panels' rasters.

    Raises:
        DataError: no evaluation has a finite value, or their weights do not fit the experts.

    """
    names = tuple(map(str, search["experts"]))
    points, values, not_finite = _evaluations(search, len(names))
    extent = _extent(points, search["bounds"])
    profiles = [_profile(points[:, index], values, extent) for index in range(len(names))]
    kept = _most_effective(profiles, limit)
    panels = {
        (i, j): _panel(points[:, kept[j]], points[:, kept[i]], values, extent, resolution)
        for i in range(len(kept))
        for j in range(i)
    }
    shown = [value for panel in panels.values() for value in panel.values]
    shown = shown or list(profiles[0].values)
    return Landscape(
        names=tuple(names[index] for index in kept),
        left_out=tuple(name for index, name in enumerate(names) if index not in kept),
        extent=extent,
        profiles=tuple(profiles[index] for index in kept),
        panels=panels,
        optimum=tuple(float(search["weights"][index]) for index in kept),
        uniform=1 / len(names),
        best=float(values.min()),
        worst_shown=float(np.quantile(shown, WORST_SHOWN)),
        not_finite=not_finite,
    )


def _evaluations(
    search: Mapping[str, Any], experts: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    evaluations = search["evaluations"]
    rows = [item["weights"] for item in evaluations]
    if any(len(row) != experts for row in [search["weights"], *rows]):
        raise DataError(f"The search's evaluations are not of {experts} weights")
    points = np.array(rows, dtype=np.float64).reshape(-1, experts)
    values = np.array([item["value"] for item in evaluations], dtype=np.float64)
    finite = np.isfinite(values)
    if not finite.any():
        raise DataError("No evaluation of the search has a finite value")
    return points[finite], values[finite], int((~finite).sum())


def _best_at(
    places: NDArray[np.float64], values: NDArray[np.float64], extent: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best evaluation at each place ``(P, k)``, places in increasing order."""
    # Several evaluations for each place: the best of one alone would be its noise.
    stretches = int((len(places) / 4) ** (1 / places.shape[1]))
    stretches = min(max(stretches, 4), MOST_LEVELS)
    groups = np.column_stack([_groups(axis, extent, stretches) for axis in places.T])
    order = np.lexsort((values, *groups.T[::-1]))
    _, first = np.unique(groups[order], axis=0, return_index=True)
    kept = order[first]
    return places[kept], values[kept]


def _groups(
    weights: NDArray[np.float64], extent: tuple[float, float], stretches: int
) -> NDArray[np.float64]:
    """What is one value of a weight: the value itself on a grid, or else a stretch of the axis."""
    # Rounded: grid steps that differ in the last bit are one value.
    rounded = weights.round(9)
    if len(np.unique(rounded)) <= MOST_LEVELS:
        return rounded
    low, high = extent
    return np.floor((weights - low) / (high - low) * stretches)


def _profile(
    weights: NDArray[np.float64], values: NDArray[np.float64], extent: tuple[float, float]
) -> WeightProfile:
    at, best = _best_at(weights[:, None], values, extent)
    order = at[:, 0].argsort()
    return WeightProfile(tuple(at[order, 0].tolist()), tuple(best[order].tolist()))


def _most_effective(profiles: Sequence[WeightProfile], limit: int) -> list[int]:
    spans = [max(profile.values) - min(profile.values) for profile in profiles]
    ranked = sorted(range(len(spans)), key=lambda index: (-spans[index], index))
    return sorted(ranked[:limit])


def _extent(points: NDArray[np.float64], bounds: Sequence[float]) -> tuple[float, float]:
    low = min(float(bounds[0]), float(points.min()))
    high = max(float(bounds[1]), float(points.max()))
    margin = 0.06 * ((high - low) or 1.0)
    return low - margin, high + margin


def _panel(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    values: NDArray[np.float64],
    extent: tuple[float, float],
    resolution: int,
) -> PairPanel:
    at, known = _best_at(np.column_stack([x, y]), values, extent)
    low, high = extent
    centres = low + (np.arange(resolution) + 0.5) * (high - low) / resolution
    raster = np.empty((resolution, resolution))
    for row, weight in enumerate(centres):
        distances = (centres[:, None] - at[:, 0]) ** 2 + (weight - at[:, 1]) ** 2
        raster[row] = known[distances.argmin(axis=1)]
    return PairPanel(
        tuple(at[:, 0].tolist()), tuple(at[:, 1].tolist()), tuple(known.tolist()), raster
    )
