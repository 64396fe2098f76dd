"""Labels beside the right edge of a drawing, spread so that they never overlap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EdgeLabel = tuple[float, str, str]
"""A value on the y-axis, the text that stands beside it, and its colour."""


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The places, moved as little as keeps them ``gap`` apart and within ``[low, high]``.

    Where they do not all fit, they are spaced equally over it.

    Args:
        places: in any order; the result is in the same one.
        gap: between neighbours.
        low: the lowest place.
        high: the highest place.

    """
    if not places:
        return []
    order = sorted(range(len(places)), key=lambda index: (places[index], index))
    gap = min(gap, (high - low) / max(len(places) - 1, 1))
    # Groups of touching labels, each centred on the mean of what its members want.
    groups: list[list[int]] = []
    for index in order:
        groups.append([index])
        while (
            len(groups) > 1
            and _reach(places, groups[-2], gap, low, high)[1] + gap
            > _reach(places, groups[-1], gap, low, high)[0] + 1e-12
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    found = [0.0] * len(places)
    for group in groups:
        start, _ = _reach(places, group, gap, low, high)
        for number, index in enumerate(group):
            found[index] = start + number * gap
    return found


def _reach(
    places: Sequence[float], group: Sequence[int], gap: float, low: float, high: float
) -> tuple[float, float]:
    """Where a group begins and ends."""
    half = (len(group) - 1) * gap / 2
    centre = sum(places[index] for index in group) / len(group)
    centre = min(max(centre, low + half), high - half)
    return centre - half, centre + half


def draw_edge_labels(
    axes: Axes, labels: Sequence[EdgeLabel], *, gap: float = 0.075, fontsize: float = 8
) -> None:
    """Writes each label beside the right edge, with a thin line to its value where it was moved.

    The y-limits must be set already; values beyond them are labelled at the edge.

    Args:
        axes: what they belong to.
        labels: value, text and colour of each.
        gap: between labels, as a share of the axes' height.
        fontsize: in points.

    """
    transform = axes.transData + axes.transAxes.inverted()
    x = axes.get_xlim()[0]
    shares = [min(max(transform.transform((x, value))[1], 0), 1) for value, _, _ in labels]
    moved = spread(shares, gap, 0, 1)
    for (_, text, colour), share, place in zip(labels, shares, moved, strict=True):
        axes.annotate(
            text,
            (1, share),
            xycoords="axes fraction",
            xytext=(1.05, place),
            textcoords="axes fraction",
            va="center",
            fontsize=fontsize,
            color=colour,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.7,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )
