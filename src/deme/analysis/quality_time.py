"""Quality against the cost of a sample: arms at several numbers of sampler steps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .style import ACCENT, ARM_COLOURS, INK, MUTED, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

Cost = Literal["seconds", "flops"]
COLOURS = tuple(ARM_COLOURS[name] for name in ("joint", "routed", "uniform", "pretrained"))
MARKERS = ("s", "^", "D", "v", "P", "X", "p")
"""With the colours more arms can be told apart than one drawing holds."""


@dataclass(frozen=True)
class QualityPoint:
    """One arm at one number of sampler steps.

    Attributes:
        sampler_steps: of its sampler.
        cost: of one image, in milliseconds or in floating-point operations.
        mean: of the metric.
        deviation: over the seeds; not a number where it is not known.

    """

    sampler_steps: int
    cost: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class QualityCurve:
    """One arm's points, in increasing cost."""

    title: str
    is_reference: bool
    points: tuple[QualityPoint, ...]


@dataclass(frozen=True)
class QualityTime:
    """All arms with points.

    Attributes:
        detector: the feature network.
        metric: what is on the y-axis.
        cost: what is on the x-axis.
        curves: the arms, in the record's order.
        floor: real images against real images, where known.

    """

    detector: str
    metric: str
    cost: Cost
    curves: tuple[QualityCurve, ...]
    floor: float | None


def quality_time(
    comparison: Mapping[str, Any], detector: str, metric: str, cost: Cost = "seconds"
) -> QualityTime:
    """Picks one metric's points out of a comparison's record; points without a cost are left out.

    Args:
        comparison: what ``compare.json`` holds.
        detector: the feature network.
        metric: by its name.
        cost: ``seconds`` (drawn in milliseconds) or ``flops``, of one image.

    """
    points: dict[str, list[QualityPoint]] = {}
    for entry in comparison.get("curve", ()):
        point = _point(entry, detector, metric, cost)
        if point is not None:
            points.setdefault(str(entry["arm"]), []).append(point)
    arms = comparison["arms"]
    curves = tuple(
        QualityCurve(
            title=str(arms.get(name, {}).get("title", name)),
            is_reference=name == comparison["reference"],
            points=tuple(sorted(found, key=lambda point: point.cost)),
        )
        for name, found in points.items()
    )
    floor = comparison.get("floor", {}).get(detector, {}).get(metric)
    mean = None if floor is None or floor["mean"] is None else float(floor["mean"])
    return QualityTime(detector, metric, cost, curves, mean)


def _point(entry: Mapping[str, Any], detector: str, metric: str, cost: Cost) -> QualityPoint | None:
    number, price = entry["metrics"].get(detector, {}).get(metric), entry.get(cost)
    if number is None or number["mean"] is None or not price or not math.isfinite(number["mean"]):
        return None
    scale = 1000 if cost == "seconds" else 1
    deviation = number.get("std")
    return QualityPoint(
        sampler_steps=int(entry["sampler_steps"]),
        cost=scale * float(price),
        mean=float(number["mean"]),
        deviation=math.nan if deviation is None else float(deviation),
    )


def draw_quality_time(
    figure: Figure | SubFigure,
    panels: Sequence[QualityTime],
    *,
    title: str,
    lower_is_better: bool = True,
) -> None:
    """Draws a panel for each detector, costs logarithmic, and one legend below all of them.

    Args:
        figure: empty.
        panels: what :func:`quality_time` returned for each detector.
        title: what a reader calls the metric.
        lower_is_better: which way it goes.

    """
    names = list(dict.fromkeys(curve.title for panel in panels for curve in panel.curves))
    drawn: dict[str, Any] = {}
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        plain_axes(axes, grid="y")
        axes.set_xscale("log")
        for curve in panel.curves:
            drawn[curve.title] = _draw_curve(axes, curve, names.index(curve.title))
        _draw_floor(axes, panel)
        _finish(axes, panel)
        way = "lower" if lower_is_better else "higher"
        axes.set_ylabel(f"{title}, {way} is better")
        axes.set_title(f"{panel.detector} features", fontsize=9.5, color=INK, loc="left")
    legend = figure.legend(
        [drawn[name] for name in names],
        names,
        loc="outside lower center",
        ncols=min(len(names), 2 * len(panels)),
        frameon=False,
        fontsize=9,
        handlelength=2.2,
        columnspacing=1.6,
    )
    for text in legend.get_texts():
        text.set_color(INK)


def quality_time_size(panels: Sequence[QualityTime]) -> tuple[float, float]:
    """Width and height in inches that the drawing needs."""
    names = len({curve.title for panel in panels for curve in panel.curves})
    return 4.6 * len(panels) + 0.4, 3.4 + 0.24 * math.ceil(names / (2 * len(panels)))


def _draw_curve(axes: Axes, curve: QualityCurve, index: int) -> Any:
    reference = curve.is_reference
    colour = ACCENT if reference else COLOURS[index % len(COLOURS)]
    costs = [point.cost for point in curve.points]
    means = [point.mean for point in curve.points]
    errors = [0.0 if math.isnan(p.deviation) else p.deviation for p in curve.points]
    container = axes.errorbar(
        costs,
        means,
        yerr=errors,
        color=colour,
        marker="o" if reference else MARKERS[index % len(MARKERS)],
        markersize=7 if reference else 5.5,
        linewidth=2.2 if reference else 1.3,
        elinewidth=1,
        zorder=4 if reference else 3,
    )
    if reference:
        for point in curve.points:
            axes.annotate(
                f"{point.sampler_steps} steps",
                (point.cost, point.mean),
                xytext=(-5, -11),
                textcoords="offset points",
                ha="right",
                fontsize=7.5,
                color=MUTED,
            )
    return container


def _draw_floor(axes: Axes, panel: QualityTime) -> None:
    """The floor where it is near the points: it must not squeeze them."""
    means = [point.mean for curve in panel.curves for point in curve.points]
    if panel.floor is None or not means:
        return
    reach = max(means) - min(means) or abs(means[0]) or 1.0
    if not min(means) - reach <= panel.floor <= max(means) + reach:
        return
    axes.axhline(panel.floor, color=MUTED, linewidth=1.1, linestyle=(0, (4, 3)), zorder=1)
    axes.annotate(
        "floor: real against real",
        (1, panel.floor),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=MUTED,
    )


def _finish(axes: Axes, panel: QualityTime) -> None:
    """Plain numbers on the logarithmic axis, and room for the labels."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.margins(x=0.12, y=0.14)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    if panel.cost == "seconds":
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("milliseconds a sample")
    else:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _operations(value)))
        axes.set_xlabel("floating-point operations a sample")


def _operations(value: float) -> str:
    """``2 G``."""
    power = min(max(math.floor(math.log10(value) / 3), 0), 6)
    return f"{value / 1000**power:g} {('', 'k', 'M', 'G', 'T', 'P', 'E')[power]}".strip()
