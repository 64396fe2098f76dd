"""Draws the search landscape: a triangle of pair panels with profiles on its diagonal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .landscape import Landscape
from .landscape_marks import (
    OPTIMUM,
    UNIFORM,
    ZERO,
    draw_mark,
    draw_mark_key,
    draw_value_key,
    edge_ticks,
)
from .style import ACCENT, INK, MUTED, ON_LIGHT, axis_label, plain_axes, value_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

MARKS = (ZERO, UNIFORM, OPTIMUM)


def draw_landscape(figure: Figure, data: Landscape) -> None:
    """Draws the panels below the diagonal, the profiles on it, and the key in the free corner.

    Args:
        figure: an empty figure; about 1.2 inches a side for each expert, and at least 4 wide.
        data: what :func:`~deme.analysis.landscape.landscape` returned.

    """
    count = len(data.names)
    grid = figure.add_gridspec(count, count, wspace=0.12, hspace=0.12)
    for row in range(count):
        for column in range(row + 1):
            axes = figure.add_subplot(grid[row, column])
            if row == column:
                _draw_profile(axes, data, row)
            else:
                _draw_panel(axes, data, row, column)
            _label_edges(axes, data, row, column)
    if data.panels:
        _draw_key(figure, grid, data)


def _draw_profile(axes: Axes, data: Landscape, index: int) -> None:
    plain_axes(axes)
    profile = data.profiles[index]
    axes.plot(profile.weights, profile.values, color=ACCENT, linewidth=1.4)
    axes.plot(profile.weights, profile.values, "o", color=ACCENT, markersize=2.6)
    marks = (data.zero[index], data.uniform[index], data.optimum[index])
    for place, style in zip(marks, (":", "--", "-"), strict=True):
        if place is not None:
            axes.axvline(place, color=MUTED, linewidth=0.8, linestyle=style, zorder=0)
    reach = (data.worst_shown - data.best) or 1.0
    axes.set_ylim(data.best - 0.08 * reach, data.worst_shown + 0.08 * reach)
    axes.set_xlim(*data.extents[index])


def _draw_panel(axes: Axes, data: Landscape, row: int, column: int) -> None:
    panel = data.panels[row, column]
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.imshow(
        panel.raster,
        origin="lower",
        extent=(*data.extents[column], *data.extents[row]),
        aspect="auto",
        interpolation="none",
        cmap=value_colours(),
        vmin=data.best,
        vmax=max(data.worst_shown, data.best + 1e-12),
    )
    axes.scatter(panel.x, panel.y, s=4, color=ON_LIGHT, alpha=0.45, linewidths=0)
    for places, mark in zip((data.zero, data.uniform, data.optimum), MARKS, strict=True):
        draw_mark(axes, places[column], places[row], mark)
    axes.set_xlim(*data.extents[column])
    axes.set_ylim(*data.extents[row])
    axes.tick_params(colors=MUTED, length=3, width=0.8)


def _label_edges(axes: Axes, data: Landscape, row: int, column: int) -> None:
    """Numbers and names only along the outer edges."""
    axes.tick_params(labelsize=8)
    axes.set_xticks(*edge_ticks(data.extents[column]))
    if row == len(data.names) - 1:
        axes.set_xlabel(axis_label(data.names[column]), color=INK, fontsize=9)
    else:
        axes.tick_params(labelbottom=False)
    if row != column:
        axes.set_yticks(*edge_ticks(data.extents[row]))
    if column == 0 and row > 0:
        axes.set_ylabel(axis_label(data.names[row]), color=INK, fontsize=9)
    elif column == 0:
        axes.set_ylabel("best value", color=MUTED, fontsize=8)
        axes.locator_params(axis="y", nbins=3)
    else:
        axes.tick_params(labelleft=False)


def _draw_key(figure: Figure, grid: GridSpec, data: Landscape) -> None:
    axes = figure.add_subplot(grid[0, len(data.names) // 2 :])
    axes.set_axis_off()
    draw_mark_key(axes, MARKS)
    bar = axes.inset_axes((0.1, 0.2, 0.9, 0.11))
    draw_value_key(figure, bar, data.best, data.worst_shown)
