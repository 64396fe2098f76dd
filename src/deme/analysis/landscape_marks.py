"""Marks, ticks and the key of both landscapes: the measured one and the predicted one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .style import MUTED, ON_LIGHT, value_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Extent = tuple[float, float]
"""What is shown of an axis, lowest and highest."""

MARGIN = 0.06
"""Shown beyond the bounds, relative to their distance, so that no mark is cut."""

ZERO = ("zero (pretrained)", "o", 26)
EXPERT = ("one expert alone", "D", 20)
UNIFORM = ("uniform 1/N", "s", 24)
OPTIMUM = ("optimum", "*", 90)


def draw_mark(axes: Axes, x: float | None, y: float | None, mark: tuple[str, str, int]) -> None:
    """A white mark that is legible on any colour; nothing where a coordinate is None."""
    if x is None or y is None:
        return
    _, marker, area = mark
    axes.scatter(
        [x],
        [y],
        s=area,
        marker=marker,
        color="white",
        edgecolors=ON_LIGHT,
        linewidths=0.9,
        zorder=4,
    )


def edge_ticks(extent: Extent) -> tuple[list[float], list[str]]:
    """Ticks at the bounds, which lie a margin inside the extent, and at zero between them."""
    low, high = extent
    margin = MARGIN / (1 + 2 * MARGIN) * (high - low)
    inner = (round(low + margin, 6), round(high - margin, 6))
    ticks = sorted({inner[0], 0.0, inner[1]} if inner[0] < 0 < inner[1] else set(inner))
    return ticks, [f"{tick:.3g}".replace("-", "−") for tick in ticks]


def draw_mark_key(axes: Axes, marks: tuple[tuple[str, str, int], ...]) -> None:
    """What the marks mean, in the axes' upper right corner; what is labelled there comes too."""
    for name, marker, area in marks:
        axes.scatter([], [], s=area, marker=marker, color="white", edgecolors=ON_LIGHT, label=name)
    axes.legend(loc="upper right", frameon=False, fontsize=8, labelcolor=MUTED, borderaxespad=0)


def draw_value_key(figure: Figure, axes: Axes, low: float, high: float, title: str = "") -> None:
    """The values' colours as a bar on the given axes; worse ones than ``high`` share its end."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    mapping = ScalarMappable(Normalize(low, max(high, low + 1e-12)), value_colours())
    bar = figure.colorbar(mapping, cax=axes, orientation="horizontal", extend="max")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    bar.ax.tick_params(colors=MUTED, labelsize=8, length=2)
    bar.ax.locator_params(nbins=4)
    if title:
        bar.ax.set_title(title, fontsize=8, color=MUTED, loc="right", pad=4)
