"""How a search went: the best value so far against the evaluations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .style import ACCENT, INK, MUTED, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class SearchProgress:
    """Values in the order of evaluation; lower is better.

    Attributes:
        values: each candidate's value; not a number where it was not finite.
        best: the lowest up to and with each evaluation.
        at_zero: the value at zero weights, which is the pretrained model's, where evaluated.
        at_uniform: the value where each weight is 1/N, where evaluated.

    """

    values: tuple[float, ...]
    best: tuple[float, ...]
    at_zero: float | None
    at_uniform: float | None


def search_progress(search: Mapping[str, Any]) -> SearchProgress:
    """Progress from a record with ``evaluations``, each with ``weights`` and ``value``."""
    evaluations = [
        (tuple(map(float, item["weights"])), _finite(item["value"]))
        for item in search["evaluations"]
    ]
    values = tuple(value for _, value in evaluations)
    ranked = (value if math.isfinite(value) else math.inf for value in values)
    best = tuple(
        value if math.isfinite(value) else math.nan for value in itertools.accumulate(ranked, min)
    )
    return SearchProgress(values, best, _value_at(evaluations, 0), _value_at(evaluations, 1))


def _finite(value: float | None) -> float:
    return float(value) if value is not None and math.isfinite(value) else math.nan


def _value_at(evaluations: list[tuple[tuple[float, ...], float]], total: float) -> float | None:
    """The finite value where all weights are ``total / N``."""
    for weights, value in evaluations:
        share = total / len(weights)
        if math.isfinite(value) and all(abs(weight - share) < 1e-9 for weight in weights):
            return value
    return None


def draw_search_progress(axes: Axes, data: SearchProgress) -> None:
    """Draws each evaluation as a dot and the best so far as a line.

    Far-off candidates would flatten the rest: they sit as triangles on the upper edge.
    """
    plain_axes(axes, grid="y")
    finite = sorted(value for value in data.values if math.isfinite(value))
    if not finite:
        return
    anchors = [value for value in (data.at_zero, data.at_uniform) if value is not None]
    top = max([finite[round(0.8 * (len(finite) - 1))], *anchors])
    top += 0.08 * ((top - finite[0]) or 1.0)
    numbers = range(1, len(data.values) + 1)
    inside = [(n, v) for n, v in zip(numbers, data.values, strict=True) if v <= top]
    above = [n for n, v in zip(numbers, data.values, strict=True) if v > top]
    axes.scatter(*zip(*inside, strict=True), s=9, color=MUTED, alpha=0.5, linewidths=0)
    edge = {"marker": "^", "color": MUTED, "alpha": 0.5, "linewidths": 0, "clip_on": False}
    axes.scatter(above, [top] * len(above), s=12, **edge)
    axes.step(numbers, data.best, where="post", color=ACCENT, linewidth=2)
    for value, name in ((data.at_zero, "pretrained"), (data.at_uniform, "uniform")):
        if value is not None:
            _reference_line(axes, value, name)
    axes.set_ylim(finite[0] - 0.06 * (top - finite[0]), top)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("evaluation")
    axes.set_ylabel("value, lower is better")


def _reference_line(axes: Axes, value: float, name: str) -> None:
    axes.axhline(value, color=INK, linewidth=0.9, linestyle=(0, (3, 3)))
    axes.annotate(
        name,
        (1, value),
        xycoords=("axes fraction", "data"),
        xytext=(-2, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=INK,
    )
