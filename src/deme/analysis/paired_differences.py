"""A forest plot: the reference arm minus every other arm, with intervals, on each detector."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .style import ACCENT, INK, MUTED, RULE, SURFACE, change_colours, plain_axes, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_IN_A_ROW = 3
"""More panels than this go on in another row."""
FAR = 6.0
"""A difference of more than so many times the median one is drawn at the edge."""
WIDE = 2.0
"""An interval that reaches more than so many times as far as the median one is cut off there."""


@dataclass(frozen=True)
class PairedDifference:
    """The reference minus one arm.

    Attributes:
        mean: of the paired differences.
        low: end of the interval; not a number where there is none.
        high: the other end.

    """

    mean: float
    low: float
    high: float

    @property
    def has_interval(self) -> bool:
        """Whether its ends are known."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def side(self) -> int:
        """−1 or 1 where the interval is clear of zero, else 0."""
        if not self.has_interval or self.low <= 0 <= self.high:
            return 0
        return -1 if self.high < 0 else 1


@dataclass(frozen=True)
class PairedDifferences:
    """All arms on all detectors in one metric.

    Attributes:
        metric: its name.
        lower_is_better: which way it goes.
        reference: the reference arm's title.
        titles: the other arms' titles; the strongest on the first detector first.
        panels: for each detector a difference for each title, None where it was not measured.

    """

    metric: str
    lower_is_better: bool
    reference: str
    titles: tuple[str, ...]
    panels: Mapping[str, tuple[PairedDifference | None, ...]]


def paired_differences(
    comparison: Mapping[str, Any], metric: str, *, lower_is_better: bool = True
) -> PairedDifferences:
    """Picks one metric's differences out of a comparison's record.

    Args:
        comparison: what ``compare.json`` holds.
        metric: by its name.
        lower_is_better: which way it goes; it decides the order of the arms.

    """
    reference, arms = comparison["reference"], comparison["arms"]
    found = {
        detector: {
            name: entry
            for name, arm in arms.items()
            if (entry := _difference(arm, detector, metric)) is not None
        }
        for detector in comparison["detectors"]
    }
    found = {detector: entries for detector, entries in found.items() if entries}
    names = list(dict.fromkeys(name for entries in found.values() for name in entries))
    first = next(iter(found.values()), {})
    turn = -1 if lower_is_better else 1
    names.sort(key=lambda name: turn * first[name].mean if name in first else math.inf)
    title = arms[reference].get("title", reference) if reference in arms else reference
    return PairedDifferences(
        metric=metric,
        lower_is_better=lower_is_better,
        reference=str(title),
        titles=tuple(str(arms[name].get("title", name)) for name in names),
        panels={d: tuple(entries.get(name) for name in names) for d, entries in found.items()},
    )


def _difference(arm: Mapping[str, Any], detector: str, metric: str) -> PairedDifference | None:
    entry = arm.get("against", {}).get(detector, {}).get(metric)
    if entry is None or entry["mean"] is None or not math.isfinite(entry["mean"]):
        return None
    ends = (entry.get(name) for name in ("low", "high"))
    low, high = (math.nan if end is None else float(end) for end in ends)
    return PairedDifference(float(entry["mean"]), low, high)


def paired_differences_size(data: PairedDifferences) -> tuple[float, float]:
    """Width and height in inches that the drawing needs."""
    columns = min(len(data.panels), MOST_IN_A_ROW)
    rows = math.ceil(len(data.panels) / MOST_IN_A_ROW)
    names = 0.4 + 0.075 * max(map(len, data.titles), default=0)
    return names + 4.6 * columns, rows * (1.1 + 0.27 * len(data.titles))


def draw_paired_differences(
    figure: Figure | SubFigure, data: PairedDifferences, *, title: str, unseen: tuple[str, ...] = ()
) -> None:
    """Draws a panel for each detector and in it a row for each arm: a dot and its interval.

    Where the interval is clear of zero it is green if the reference is better and red if the arm
    is; else grey. The tinted side is the one where the reference is better.

    Args:
        figure: empty.
        data: what :func:`paired_differences` returned.
        title: what a reader calls the metric.
        unseen: detectors that the search never saw; their panels say so.

    """
    columns = min(len(data.panels), MOST_IN_A_ROW)
    rows = math.ceil(len(data.panels) / MOST_IN_A_ROW)
    for number, (detector, entries) in enumerate(data.panels.items()):
        axes = figure.add_subplot(rows, columns, number + 1)
        _draw_panel(axes, data, entries)
        seen = "never seen by the search" if detector in unseen else "the search's detector"
        heading = f"{detector} features" + (f", {seen}" if unseen else "")
        axes.set_title(heading, fontsize=9.5, color=INK, loc="left")
        names = data.titles if number % columns == 0 else ("",) * len(data.titles)
        axes.set_yticks(range(len(names)), list(names))
        axes.tick_params(axis="y", length=0, colors=INK, labelsize=9.5)
        way = "left" if data.lower_is_better else "right"
        label = f"{title} of {data.reference} minus the arm's\n"
        label += f"{way} of 0: {data.reference} is better"
        axes.set_xlabel(label, fontsize=8.5, linespacing=1.4)


def _draw_panel(
    axes: Axes, data: PairedDifferences, entries: tuple[PairedDifference | None, ...]
) -> None:
    plain_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    low, high = _limits([entry for entry in entries if entry is not None])
    digits = _digits(low, high)
    axes.set_xlim(low, high)
    axes.set_ylim(len(entries) - 0.4, -0.6)
    better = (low, 0) if data.lower_is_better else (0, high)
    axes.axvspan(*better, color=ACCENT, alpha=0.06, linewidth=0, zorder=0)
    axes.axvline(0, color=INK, linewidth=1, zorder=1)
    for row, entry in enumerate(entries):
        axes.axhline(row, color=RULE, linewidth=0.6, zorder=0)
        if entry is not None:
            _draw_row(axes, row, entry, _colour(entry, data.lower_is_better), digits)
    axes.locator_params(axis="x", nbins=6)


def _draw_row(axes: Axes, row: int, entry: PairedDifference, colour: str, digits: int) -> None:
    low, high = axes.get_xlim()
    inside = low <= entry.mean <= high
    place = min(max(entry.mean, low), high)
    if entry.has_interval:
        ends = (max(entry.low, low), min(entry.high, high))
        axes.plot(ends, (row, row), color=colour, linewidth=2.2, solid_capstyle="butt", zorder=2)
        for end in (entry.low, entry.high):
            if low <= end <= high:
                axes.plot((end, end), (row - 0.14, row + 0.14), color=colour, linewidth=1.4)
    marker = "o" if inside else ("<" if entry.mean < low else ">")
    filled = entry.has_interval
    axes.scatter(
        [place],
        [row],
        s=44,
        marker=marker,
        facecolor=colour if filled else SURFACE,
        edgecolor=SURFACE if filled else colour,
        linewidths=1,
        zorder=3,
        clip_on=False,
    )
    axes.annotate(
        _text(entry, digits),
        (1, row),
        xycoords=("axes fraction", "data"),
        xytext=(8, 0),
        textcoords="offset points",
        va="center",
        fontsize=8.5,
        color=INK if entry.side else MUTED,
    )


def _text(entry: PairedDifference, digits: int) -> str:
    """``−0.62 (−0.94 to −0.30)``."""
    mean = signed(entry.mean, digits)
    if not entry.has_interval:
        return mean
    return f"{mean} ({signed(entry.low, digits)} to {signed(entry.high, digits)})"


def _colour(entry: PairedDifference, lower_is_better: bool) -> str:
    from matplotlib.colors import to_hex

    if entry.side == 0:
        return MUTED
    return ACCENT if (entry.side < 0) == lower_is_better else to_hex(change_colours()(1.0))


def _limits(entries: list[PairedDifference]) -> tuple[float, float]:
    """Around zero and all rows, save those that are so far off that they would squeeze the rest."""
    usual = statistics.median(abs(entry.mean) for entry in entries)
    near = [entry for entry in entries if abs(entry.mean) <= FAR * usual] if usual else entries
    reaches = [max(abs(entry.low), abs(entry.high)) for entry in near if entry.has_interval]
    places = [0.0, *(entry.mean for entry in near)]
    reach = max(WIDE * statistics.median(reaches or [0.0]), 1.25 * max(map(abs, places)))
    for entry in near:
        if entry.has_interval:
            places += [max(entry.low, -reach), min(entry.high, reach)]
    margin = 0.07 * (max(places) - min(places)) or 1.0
    return min(places) - margin, max(places) + margin


def _digits(low: float, high: float) -> int:
    """Digits after the point that tell a hundredth of the axis."""
    return min(max(2 - math.floor(math.log10(high - low)), 0), 6)
