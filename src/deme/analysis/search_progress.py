"""How a search went: the best value so far against what it cost."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .anchor_titles import PRETRAINED, UNIFORM
from .edge_labels import draw_edge_labels
from .search_record import Evaluated, SearchRecord
from .style import ACCENT, INK, MUTED, SURFACE, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INSIDE = 0.8
"""This share of the values sets the frame; worse ones sit on its upper edge."""


@dataclass(frozen=True)
class SearchProgress:
    """Values in the order of evaluation; lower is better.

    Attributes:
        costs: images drawn up to and with each evaluation, in full sample sets.
        values: each candidate's value; not a number where it was not finite.
        anchors: which of them every search evaluates.
        partial: which were measured on fewer images than others and are not comparable.
        best: the lowest comparable value up to and with each evaluation.
        at_zero: the value at zero weights, which is the pretrained model's, where evaluated.
        at_uniform: the value where each weight is 1/N, where evaluated.
        fresh: the winner's value on noise that the search never saw, where measured.

    """

    costs: tuple[float, ...]
    values: tuple[float, ...]
    anchors: tuple[bool, ...]
    partial: tuple[bool, ...]
    best: tuple[float, ...]
    at_zero: float | None
    at_uniform: float | None
    fresh: float | None


def search_progress(search: Mapping[str, Any]) -> SearchProgress:
    """Progress from what ``search/result.json`` holds.

    Raises:
        DataError: it is not what deme writes.

    """
    record = SearchRecord.from_mapping(search)
    evaluations = record.evaluations
    full = max((item.images for item in evaluations), default=0)
    partial = tuple(item.images < full for item in evaluations)
    ranked = (
        math.inf if cut or math.isnan(item.value) else item.value
        for item, cut in zip(evaluations, partial, strict=True)
    )
    lowest = itertools.accumulate(ranked, min)
    return SearchProgress(
        costs=tuple(itertools.accumulate(item.cost for item in evaluations)),
        values=tuple(item.value for item in evaluations),
        anchors=tuple(bool(item.anchor) for item in evaluations),
        partial=partial,
        best=tuple(value if math.isfinite(value) else math.nan for value in lowest),
        at_zero=_value_at(record.full, PRETRAINED),
        at_uniform=_value_at(record.full, UNIFORM),
        fresh=None if record.fresh is None else record.fresh.value,
    )


def _value_at(evaluations: tuple[Evaluated, ...], anchor: str) -> float | None:
    """The anchor's finite value."""
    found = (item.value for item in evaluations if item.anchor == anchor)
    return next((value for value in found if math.isfinite(value)), None)


def draw_search_progress(axes: Axes, data: SearchProgress, *, label: str = "value") -> None:
    """Draws each evaluation as a dot, anchors as diamonds, and the best so far as a line.

    Far-off candidates would flatten the rest: they sit as triangles on the upper edge.
    """
    plain_axes(axes, grid="y")
    comparable = zip(data.values, data.partial, strict=True)
    finite = sorted(value for value, cut in comparable if math.isfinite(value) and not cut)
    if not finite:
        return
    lines = _reference_lines(data)
    low = min([finite[0], *(value for value, _, _ in lines)])
    top = max([finite[round(INSIDE * (len(finite) - 1))], *(value for value, _, _ in lines)])
    reach = (top - low) or abs(top) or 1.0
    low, top = low - 0.06 * reach, top + 0.08 * reach
    _draw_evaluations(axes, data, top)
    axes.step(data.costs, data.best, where="post", color=ACCENT, linewidth=2)
    axes.set_ylim(low, top)
    axes.set_xlim(0, data.costs[-1] * 1.02)
    for value, _, colour in lines:
        axes.axhline(value, color=colour, linewidth=0.9, linestyle=(0, (3, 3)), zorder=1)
    best = (data.best[-1], f"best {data.best[-1]:.4g}", ACCENT)
    draw_edge_labels(axes, [*((v, f"{text} {v:.4g}", c) for v, text, c in lines), best])
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("cost, sample sets")
    axes.set_ylabel(f"{label}, lower is better")


def _reference_lines(data: SearchProgress) -> list[tuple[float, str, str]]:
    lines = [
        (data.at_zero, "pretrained", INK),
        (data.at_uniform, "uniform", MUTED),
        (data.fresh, "best, fresh noise", INK),
    ]
    return [(value, text, colour) for value, text, colour in lines if value is not None]


def _draw_evaluations(axes: Axes, data: SearchProgress, top: float) -> None:
    """A mark for each evaluation: its face tells an anchor, its edge one on fewer images."""
    places = zip(data.costs, data.values, data.anchors, data.partial, strict=True)
    for cost, value, anchor, partial in places:
        if math.isnan(value):
            continue
        above = value > top
        marker = "^" if above else "D" if anchor else "o"
        axes.scatter(
            [cost],
            [min(value, top)],
            s=16 if anchor or above else 14,
            marker=marker,
            facecolors=SURFACE if partial else INK if anchor else MUTED,
            edgecolors=MUTED if partial else "none",
            linewidths=0.8 if partial else 0,
            alpha=1.0 if anchor or partial else 0.55,
            clip_on=not above,
            zorder=3,
        )
