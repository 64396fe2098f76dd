"""Training losses over the steps, raw and smoothed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .style import MUTED, expert_label, plain_axes, range_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOG_SCALE_RATIO = 5
"""Curves further apart than this factor are drawn on a logarithmic axis."""


@dataclass(frozen=True)
class LossCurve:
    """One model's loss.

    Attributes:
        name: the expert's name.
        steps: optimizer steps, increasing.
        values: the loss as it was logged.
        smoothed: its running mean.

    """

    name: str
    steps: tuple[int, ...]
    values: tuple[float, ...]
    smoothed: tuple[float, ...]


def loss_curves(
    trainings: Sequence[Mapping[str, Any]], quantity: str = "denoising"
) -> list[LossCurve]:
    """The curves of one loss.

    Args:
        trainings: records with ``name`` and ``losses`` (each with ``step`` and ``quantity``).
        quantity: ``denoising``, ``consistency`` or ``loss``.

    Returns:
        A curve for each training that has any finite, non-zero value of it: a loss that was
        switched off has no curve.

    """
    curves = []
    for training in trainings:
        points = [
            (int(entry["step"]), float(entry[quantity]))
            for entry in training["losses"]
            if entry.get(quantity) is not None and math.isfinite(entry[quantity])
        ]
        if any(value != 0 for _, value in points):
            steps, values = zip(*points, strict=True)
            half_width = len(values) // 20
            curve = LossCurve(training["name"], steps, values, running_mean(values, half_width))
            curves.append(curve)
    return curves


def running_mean(values: Sequence[float], half_width: int) -> tuple[float, ...]:
    """The mean over the value and ``half_width`` to each side, fewer where the values end.

    A centred window does not lag behind the values, as an exponential average would.
    """
    windows = (
        values[max(index - half_width, 0) : index + half_width + 1] for index in range(len(values))
    )
    return tuple(math.fsum(window) / len(window) for window in windows)


def draw_loss_curves(axes: Axes, curves: Sequence[LossCurve], quantity: str = "denoising") -> None:
    """Draws the smoothed curves, and the raw ones pale behind them."""
    plain_axes(axes, grid="y")
    colours = range_colours(len(curves)) if len(curves) > 1 else [MUTED]
    positive = [value for curve in curves for value in curve.smoothed if value > 0]
    if positive and max(positive) > LOG_SCALE_RATIO * min(positive):
        _logarithmic(axes)
    for curve, colour in zip(curves, colours, strict=True):
        axes.plot(curve.steps, curve.values, color=colour, linewidth=0.7, alpha=0.3)
        label = expert_label(curve.name)
        axes.plot(curve.steps, curve.smoothed, color=colour, linewidth=1.8, label=label)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("step")
    axes.set_ylabel(f"{quantity} loss")
    axes.margins(x=0.01)
    if len(curves) > 1:
        axes.legend(
            loc="lower right",
            bbox_to_anchor=(1, 1),
            ncols=4,
            frameon=False,
            fontsize=8.5,
            labelcolor=MUTED,
            handlelength=0.9,
            handletextpad=0.5,
            columnspacing=1.1,
            borderaxespad=0.2,
        )


def _logarithmic(axes: Axes) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_yscale("log", nonpositive="mask")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
