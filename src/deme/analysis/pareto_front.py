"""The Pareto front of a search with several objectives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .search_record import SearchRecord, finite
from .style import ACCENT, INK, MUTED, SURFACE, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_OBJECTIVES = 4
"""Pairs of more objectives than this have no legible drawing."""


@dataclass(frozen=True)
class ParetoFront:
    """All candidates' values and which are on the front; lower is better in each objective.

    Attributes:
        objectives: their names.
        candidates: values of all finite candidates, one for each objective.
        front: values of those that no candidate beats in every objective.
        chosen: the values of the one that is merged; None where it has none.

    """

    objectives: tuple[str, ...]
    candidates: tuple[tuple[float, ...], ...]
    front: tuple[tuple[float, ...], ...]
    chosen: tuple[float, ...] | None


def pareto_front(search: Mapping[str, Any]) -> ParetoFront | None:
    """The front of a record with ``pareto``; None where there is one objective only.

    Raises:
        DataError: the record is not what deme writes.

    """
    record = SearchRecord.from_mapping(search)
    front = tuple(values for _, values in record.pareto if all(map(math.isfinite, values)))
    if not front or len(front[0]) < 2:
        return None
    count = len(front[0])
    names = record.objectives
    if len(names) != count:
        names = tuple(f"objective {number}" for number in range(1, count + 1))
    rows = [tuple(map(finite, item.get("values") or ())) for item in search["evaluations"]]
    candidates = tuple(row for row in rows if len(row) == count and all(map(math.isfinite, row)))
    chosen = next((values for point, values in record.pareto if point == record.point), None)
    return ParetoFront(names, candidates, front, chosen)


def pareto_pairs(data: ParetoFront) -> list[tuple[int, int]]:
    """The pairs of objectives that are drawn, one panel each."""
    return list(itertools.combinations(range(min(len(data.objectives), MOST_OBJECTIVES)), 2))


def draw_pareto_front(figure: Figure, data: ParetoFront) -> None:
    """Draws a panel for each pair of objectives: candidates, the front, and the chosen one."""
    pairs = pareto_pairs(data)
    columns = min(len(pairs), 3)
    rows = math.ceil(len(pairs) / columns)
    for number, (x, y) in enumerate(pairs, start=1):
        _draw_pair(figure.add_subplot(rows, columns, number), data, x, y)


def _draw_pair(axes: Axes, data: ParetoFront, x: int, y: int) -> None:
    plain_axes(axes)
    rest = [values for values in data.candidates if values not in set(data.front)]
    axes.scatter(
        [values[x] for values in rest],
        [values[y] for values in rest],
        s=14,
        color=MUTED,
        alpha=0.45,
        linewidths=0,
    )
    front = sorted((values[x], values[y]) for values in data.front)
    if len(data.objectives) == 2:
        axes.step(*zip(*front, strict=True), where="post", color=ACCENT, linewidth=1.4)
    axes.scatter(*zip(*front, strict=True), s=26, color=ACCENT, linewidths=0, zorder=3)
    if data.chosen is not None:
        axes.scatter(
            [data.chosen[x]],
            [data.chosen[y]],
            s=130,
            marker="*",
            color=SURFACE,
            edgecolors=INK,
            linewidths=1,
            zorder=4,
        )
    axes.margins(0.08)
    axes.locator_params(nbins=5)
    axes.set_xlabel(data.objectives[x])
    axes.set_ylabel(data.objectives[y])
