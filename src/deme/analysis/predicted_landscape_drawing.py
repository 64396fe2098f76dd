"""Draws the predicted landscape: a triangle of slices with the evaluated points on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .landscape_marks import (
    EXPERT,
    OPTIMUM,
    UNIFORM,
    ZERO,
    draw_mark,
    draw_mark_key,
    draw_value_key,
    edge_ticks,
)
from .predicted_landscape import PredictedLandscape, Slice
from .style import INK, MUTED, ON_LIGHT, axis_label, text_colour_on, value_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CONTOURS = 7
PANEL_INCHES = {2: 3.3, 3: 2.1, 4: 1.55}
"""A panel's side by the number of axes; more axes have smaller ones."""


def predicted_landscape_size(data: PredictedLandscape) -> tuple[float, float]:
    """Width and height in inches that the drawing wants."""
    count = len(data.names)
    side = PANEL_INCHES.get(count, 1.3)
    beside = 1.75 if count == 2 else 0.0  # two axes have one panel and no free corner for the key
    return 0.6 + side * (count - 1) + beside, 0.55 + side * (count - 1)


def draw_predicted_landscape(figure: Figure, data: PredictedLandscape) -> None:
    """Draws the slices below the diagonal and the key in the free corner.

    Args:
        figure: an empty figure, of :func:`predicted_landscape_size`.
        data: what :func:`~deme.analysis.predicted_landscape.predicted_landscape` returned.

    """
    count = len(data.names)
    if count == 2:
        grid = figure.add_gridspec(1, 2, width_ratios=(PANEL_INCHES[2], 1.75))
    else:
        grid = figure.add_gridspec(count - 1, count - 1, wspace=0.06, hspace=0.06)
    for (row, column), panel in sorted(data.panels.items()):
        axes = figure.add_subplot(grid[row - 1, column])
        _draw_slice(axes, data, panel)
        _draw_marks(axes, data, row, column)
        _label_edges(axes, data, row, column)
    key = figure.add_subplot(grid[0, 1] if count == 2 else grid[0, (count - 1) // 2 :])
    _draw_key(figure, key, data)


def _draw_slice(axes: Axes, data: PredictedLandscape, panel: Slice) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)
    top = max(data.worst_shown, data.best + 1e-12)
    colours = {"cmap": value_colours(), "vmin": data.best, "vmax": top}
    values = np.ma.masked_invalid(panel.values)
    axes.pcolormesh(panel.x, panel.y, values, shading="gouraud", rasterized=True, **colours)
    if min(values.shape) > 1 and top > data.best + 1e-9:
        levels = np.linspace(data.best, top, CONTOURS + 1)[1:]
        axes.contour(panel.x, panel.y, values, levels=levels, colors="white", linewidths=0.6)
    order = np.argsort(panel.nearness)  # the nearest on top
    shades = value_colours()((data.measured[order] - data.best) / (top - data.best))
    nearness = panel.nearness[order]
    axes.scatter(
        *panel.points[order].T,
        s=5 + 21 * nearness,
        color=shades,
        edgecolors=[text_colour_on(shade) for shade in shades],
        alpha=(0.2 + 0.8 * nearness).tolist(),
        linewidths=0.7,
        zorder=3,
    )


def _draw_marks(axes: Axes, data: PredictedLandscape, row: int, column: int) -> None:
    draw_mark(axes, data.zero[column], data.zero[row], ZERO)
    if data.uniform[column] is not None and data.uniform[row] is not None:
        draw_mark(axes, 1.0, 0.0, EXPERT)
        draw_mark(axes, 0.0, 1.0, EXPERT)
    draw_mark(axes, data.uniform[column], data.uniform[row], UNIFORM)
    draw_mark(axes, data.optimum[column], data.optimum[row], OPTIMUM)
    axes.set_xlim(*data.extents[column])
    axes.set_ylim(*data.extents[row])


def _label_edges(axes: Axes, data: PredictedLandscape, row: int, column: int) -> None:
    """Numbers and names only along the outer edges of what is there."""
    axes.tick_params(colors=MUTED, length=3, width=0.8, labelsize=8)
    axes.set_xticks(*edge_ticks(data.extents[column]))
    axes.set_yticks(*edge_ticks(data.extents[row]))
    if any((below, column) in data.panels for below in range(row + 1, len(data.names))):
        axes.tick_params(axis="x", labelbottom=False, length=0)
    else:
        axes.set_xlabel(axis_label(data.names[column]), color=INK, fontsize=9)
    if any((row, left) in data.panels for left in range(column)):
        axes.tick_params(axis="y", labelleft=False, length=0)
    else:
        axes.set_ylabel(axis_label(data.names[row]), color=INK, fontsize=9)


def _draw_key(figure: Figure, axes: Axes, data: PredictedLandscape) -> None:
    axes.set_axis_off()
    dot = {"color": [value_colours()(0.5)], "edgecolors": ON_LIGHT, "linewidths": 0.7}
    axes.scatter([], [], s=26, label="measured, on the slice", **dot)
    axes.scatter([], [], s=6, alpha=0.3, label="measured, far off it", **dot)
    marks = (ZERO, EXPERT, UNIFORM, OPTIMUM)
    draw_mark_key(axes, marks if any(x is not None for x in data.uniform) else (OPTIMUM,))
    # Below the legend, whose height is fixed while the axes' is not.
    points = figure.get_figheight() * 72 / (1 if len(data.names) == 2 else len(data.names) - 1)
    bar = axes.inset_axes((0.2, 1 - 114 / points, 0.8, 8 / points))
    draw_value_key(figure, bar, data.best, data.worst_shown, "predicted")
