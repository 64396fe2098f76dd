"""Colours, labels and plain axes, shared by all figures.

The colours named here are the figures' only ones, so that a page can restate them for a dark
background by replacing these very values.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap

INK = "#1c2733"
MUTED = "#687583"
RULE = "#dbe1e6"
SURFACE = "#fffffe"  # not pure white, so that it can be told from white text on a tile
ACCENT = "#0f8a6d"

ON_LIGHT = "#10161d"
ON_DARK = "#ffffff"

ARM_COLOURS = {
    "pretrained": "#66788a",
    "joint": "#c27a1a",
    "routed": "#8a68b8",
    "uniform": "#4683c4",
    "merged": ACCENT,
}
"""A colour for each arm; other arms are drawn in :data:`MUTED`."""

_RANGE_RAMP = ("#d1605e", "#c98a1b", "#5a9d5c", "#2a93a6", "#5a6fc0", "#9460b5")
_BETTER, _LEVEL, _WORSE = "#0f8a6d", "#f1f2f0", "#c0583a"
_VALUES = ("#0b3c5d", "#1f7a8c", "#6db7a5", "#c9e0c4", "#f6f1dc")

_RANGE_NAME = re.compile(r"t(\d{4,})-(\d{4,})")


def expert_label(name: str) -> str:
    """An expert's name as a reader wants it: ``t0000-0250`` is ``0–250``, others stay."""
    found = _RANGE_NAME.fullmatch(name)
    return name if found is None else range_label(int(found[1]), int(found[2]))


def axis_label(name: str) -> str:
    """A searched axis on several lines: the block or blocks, and then the expert."""
    blocks, space, expert = name.rpartition(" ")
    lines = blocks.replace("…", "…\n") + "\n" if space else ""
    return lines + expert_label(expert)


def range_label(low: int, high: int) -> str:
    """The timesteps ``low ≤ t < high``."""
    return f"{low}–{high}"


def three_figures(value: float) -> str:
    """A positive number with three figures."""
    return f"{value:#.3g}".rstrip(".")


def signed(value: float, digits: int) -> str:
    """A number with its sign, and the minus of typography; zero has no sign."""
    text = f"{value:+.{digits}f}".replace("-", "−")
    return text[1:] if float(f"{value:.{digits}f}") == 0 else text


def range_colours(count: int) -> list[str]:
    """``count`` colours from little noise (red) to much noise (violet), legible on any page."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex

    ramp = LinearSegmentedColormap.from_list("ranges", _RANGE_RAMP)
    return [to_hex(ramp(index / max(count - 1, 1))) for index in range(count)]


def change_colours() -> LinearSegmentedColormap:
    """From better (0) over level (0.5) to worse (1)."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("change", (_BETTER, _LEVEL, _WORSE))


def value_colours() -> LinearSegmentedColormap:
    """From the best, lowest value (dark) to the worst (pale)."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("values", _VALUES)


def text_colour_on(rgba: tuple[float, float, float, float]) -> str:
    """The text colour that is legible on a tile of that colour."""
    luminance = 0.2126 * rgba[0] + 0.7152 * rgba[1] + 0.0722 * rgba[2]
    return ON_LIGHT if luminance > 0.5 else ON_DARK


def plain_axes(axes: Axes, *, grid: str | None = None) -> None:
    """Two thin axes lines, quiet ticks, and rules along ``grid`` (``"x"`` or ``"y"``)."""
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(RULE)
    axes.tick_params(colors=MUTED, length=3, width=0.8, labelsize=9)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(MUTED)
        label.set_fontsize(9)
    if grid in ("x", "y"):
        axes.grid(axis=grid, color=RULE, linewidth=0.8)
        axes.set_axisbelow(True)


def matrix_axes(axes: Axes, columns: list[str], rows: list[str]) -> None:
    """Axes for a matrix of tiles: the first row on top, labels and no lines."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xticks([index + 0.5 for index in range(len(columns))], columns)
    axes.set_yticks([index + 0.5 for index in range(len(rows))], rows)
    axes.set_xlim(0, len(columns))
    axes.set_ylim(len(rows), 0)
    axes.tick_params(colors=INK, length=0, labelsize=9, top=True, labeltop=True, labelbottom=False)
