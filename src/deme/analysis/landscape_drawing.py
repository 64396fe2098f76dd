"""Draws the search landscape: a triangle of pair panels with profiles on its diagonal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .landscape import Landscape
from .style import ACCENT, INK, MUTED, ON_LIGHT, expert_label, plain_axes, value_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.gridspec import GridSpec

MARKS = (("zero (pretrained)", "o", 26), ("uniform 1/N", "s", 24), ("optimum", "*", 90))


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
    marks = (0.0, data.uniform, data.optimum[index])
    for weight, style in zip(marks, (":", "--", "-"), strict=True):
        axes.axvline(weight, color=MUTED, linewidth=0.8, linestyle=style, zorder=0)
    reach = (data.worst_shown - data.best) or 1.0
    axes.set_ylim(data.best - 0.08 * reach, data.worst_shown + 0.08 * reach)
    axes.set_xlim(*data.extent)


def _draw_panel(axes: Axes, data: Landscape, row: int, column: int) -> None:
    panel = data.panels[row, column]
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.imshow(
        panel.raster,
        origin="lower",
        extent=(*data.extent, *data.extent),
        aspect="auto",
        interpolation="none",
        cmap=value_colours(),
        vmin=data.best,
        vmax=max(data.worst_shown, data.best + 1e-12),
    )
    axes.scatter(panel.x, panel.y, s=4, color=ON_LIGHT, alpha=0.45, linewidths=0)
    places = (
        (0.0, 0.0),
        (data.uniform, data.uniform),
        (data.optimum[column], data.optimum[row]),
    )
    for (x, y), (_, marker, area) in zip(places, MARKS, strict=True):
        axes.scatter(
            [x], [y], s=area, marker=marker, color="white", edgecolors=ON_LIGHT, linewidths=0.9
        )
    axes.set_xlim(*data.extent)
    axes.set_ylim(*data.extent)
    axes.tick_params(colors=MUTED, length=3, width=0.8)


def _label_edges(axes: Axes, data: Landscape, row: int, column: int) -> None:
    """Numbers and names only along the outer edges."""
    ticks = _ticks(data)
    axes.tick_params(labelsize=8)
    labels = [f"{tick:.2g}".replace("-", "−") for tick in ticks]
    axes.set_xticks(ticks, labels)
    if row == len(data.names) - 1:
        axes.set_xlabel(expert_label(data.names[column]), color=INK, fontsize=9)
    else:
        axes.tick_params(labelbottom=False)
    if row != column:
        axes.set_yticks(ticks, labels)
    if column == 0 and row > 0:
        axes.set_ylabel(expert_label(data.names[row]), color=INK, fontsize=9)
    elif column == 0:
        axes.set_ylabel("best value", color=MUTED, fontsize=8)
        axes.locator_params(axis="y", nbins=3)
    else:
        axes.tick_params(labelleft=False)


def _ticks(data: Landscape) -> list[float]:
    low, high = data.extent
    margin = 0.06 / 1.12 * (high - low)
    inner = (round(low + margin, 6), round(high - margin, 6))
    return sorted({inner[0], 0.0, inner[1]} if inner[0] < 0 < inner[1] else set(inner))


def _draw_key(figure: Figure, grid: GridSpec, data: Landscape) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes = figure.add_subplot(grid[0, len(data.names) // 2 :])
    axes.set_axis_off()
    for name, marker, area in MARKS:
        axes.scatter([], [], s=area, marker=marker, color="white", edgecolors=ON_LIGHT, label=name)
    axes.legend(loc="upper right", frameon=False, fontsize=8, labelcolor=MUTED, borderaxespad=0)
    norm = Normalize(data.best, max(data.worst_shown, data.best + 1e-12))
    bar = figure.colorbar(
        ScalarMappable(norm, value_colours()),
        cax=axes.inset_axes((0.1, 0.2, 0.9, 0.11)),
        orientation="horizontal",
        extend="max",
    )
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.ax.tick_params(colors=MUTED, labelsize=8, length=2)
    bar.ax.locator_params(nbins=4)
