"""Several strategies beside each other: best so far against cost, judged on held-out noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError
from .edge_labels import EdgeLabel, draw_edge_labels
from .search_record import finite
from .style import ACCENT, INK, MUTED, plain_axes, range_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EMPHASISED = "surface"
"""This strategy's line is drawn strongest."""


@dataclass(frozen=True)
class StrategyCurve:
    """One strategy's best candidate so far; lower values are better.

    Attributes:
        name: the strategy.
        costs: in full sample sets, increasing and positive.
        best: the best value so far on the search's noise.
        held_out: the value of that same candidate on noise that the search never saw; not a
            number where it was not judged.

    """

    name: str
    costs: tuple[float, ...]
    best: tuple[float, ...]
    held_out: tuple[float, ...]

    @property
    def final(self) -> float:
        """The last held-out value; where none was judged, the last search value."""
        judged = [value for value in self.held_out if math.isfinite(value)]
        return judged[-1] if judged else self.best[-1]


def strategy_curves(
    progress: Mapping[str, Sequence[tuple[float, float, float | None]]],
) -> list[StrategyCurve]:
    """The curves of a comparison.

    Args:
        progress: for each strategy rows of cost, best search value so far, and the same
            candidate's held-out value (None where it was not judged), in order.

    Raises:
        DataError: a strategy without rows, or costs that are not positive and increasing.

    """
    curves = []
    for name, rows in progress.items():
        costs = [float(cost) for cost, _, _ in rows]
        if not costs or costs[0] <= 0 or costs != sorted(costs):
            raise DataError(f"The costs of strategy {name!r} must be positive and increase")
        best = tuple(finite(value) for _, value, _ in rows)
        curves.append(StrategyCurve(name, tuple(costs), best, tuple(finite(v) for _, _, v in rows)))
    return curves


def draw_strategy_curves(
    axes: Axes,
    curves: Sequence[StrategyCurve],
    *,
    targets: Mapping[str, float] | None = None,
    label: str = "value",
) -> None:
    """Draws held-out values as lines and search values as thin dashes, costs logarithmic.

    Each line reaches to the largest cost of all: what was found early stays found.

    Args:
        axes: empty.
        curves: what :func:`strategy_curves` returned.
        targets: held-out values drawn across, by what they are called, such as a grid's best.
        label: what the values are.

    """
    plain_axes(axes, grid="y")
    if not curves:
        return
    axes.set_xscale("log")
    end = max(curve.costs[-1] for curve in curves)
    labels: list[EdgeLabel] = []
    for curve, colour in zip(curves, _colours(curves), strict=True):
        _draw_curve(axes, curve, colour, end)
        labels.append((curve.final, f"{curve.name} {curve.final:.4g}", colour))
    for name, value in (targets or {}).items():
        axes.axhline(value, color=INK, linewidth=0.9, linestyle=(0, (3, 3)), zorder=1)
        labels.append((value, f"{name} {value:.4g}", INK))
    low, high = _limits(curves, targets or {})
    axes.set_ylim(low, high)
    axes.set_xlim(min(curve.costs[0] for curve in curves), end * 1.04)
    _plain_numbers(axes)
    draw_edge_labels(axes, labels, gap=0.062)
    axes.set_xlabel("cost, sample sets")
    axes.set_ylabel(f"{label}, lower is better")


def _draw_curve(axes: Axes, curve: StrategyCurve, colour: str, end: float) -> None:
    strong = curve.name == EMPHASISED
    costs = [*curve.costs, end]
    pairs = zip(curve.costs, curve.held_out, strict=True)
    judged = [(cost, value) for cost, value in pairs if math.isfinite(value)]
    axes.step(
        costs,
        [*curve.best, curve.best[-1]],
        where="post",
        color=colour,
        linewidth=0.8,
        linestyle=(0, (4, 2)),
        alpha=0.7,
    )
    if judged:
        places, values = zip(*judged, strict=True)
        width = 2.4 if strong else 1.4
        line = axes.step([*places, end], [*values, values[-1]], where="post", color=colour)
        line[0].set(linewidth=width, zorder=4 if strong else 3)
        axes.scatter([places[-1]], [values[-1]], s=14, color=colour, zorder=5)


def _colours(curves: Sequence[StrategyCurve]) -> list[str]:
    """The emphasised strategy has the accent; the rest share a ramp."""
    others = [curve.name for curve in curves if curve.name != EMPHASISED]
    ramp = dict(zip(others, range_colours(len(others)), strict=True)) if others else {}
    return [ramp.get(curve.name, ACCENT) for curve in curves]


def _limits(curves: Sequence[StrategyCurve], targets: Mapping[str, float]) -> tuple[float, float]:
    """From the lowest value to a little above the worst start that matters: the curves' ends."""
    drawn = (value for curve in curves for value in (*curve.best, *curve.held_out))
    values = [*filter(math.isfinite, drawn), *targets.values()]
    ends = [*(curve.final for curve in curves if math.isfinite(curve.final)), *targets.values()]
    low, ceiling = min(values, default=0.0), max(ends, default=1.0)
    high = min(max(values, default=ceiling), ceiling + (ceiling - low))
    reach = (high - low) or abs(high) or 1.0
    return low - 0.05 * reach, high + 0.08 * reach


def _plain_numbers(axes: Axes) -> None:
    """Costs as plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(axis="x", colors=MUTED)
