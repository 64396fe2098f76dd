"""How well a search predicted: its predicted values against the measured ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .search_record import SearchRecord, finite
from .style import ACCENT, MUTED, plain_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FEWEST = 3
"""Fewer pairs have no rank correlation worth a figure."""


@dataclass(frozen=True)
class Prediction:
    """Predicted against measured values.

    Attributes:
        predicted: one for each candidate.
        measured: the same candidates'.
        rank_correlation: Spearman's, in [−1, 1].
        rmse: root of the mean squared difference, in the objective's units.

    """

    predicted: tuple[float, ...]
    measured: tuple[float, ...]
    rank_correlation: float
    rmse: float


def prediction(search: Mapping[str, Any]) -> Prediction | None:
    """The pairs of a record's ``landscape.prediction``, or else what its evaluations' notes expect.

    Args:
        search: what ``search/result.json`` holds.

    Returns:
        None where there are fewer than three pairs of finite values.

    """
    stored = (search.get("landscape") or {}).get("prediction") or {}
    if stored.get("pairs"):
        pairs = [(finite(predicted), finite(real)) for predicted, real in stored["pairs"]]
    else:
        evaluations = SearchRecord.from_mapping(search).full
        pairs = [(finite(item.predicted), item.value) for item in evaluations]
    pairs = [pair for pair in pairs if all(map(math.isfinite, pair))]
    if len(pairs) < FEWEST:
        return None
    predicted, measured = (tuple(column) for column in zip(*pairs, strict=True))
    correlation, rmse = stored.get("rank_correlation"), stored.get("rmse")
    return Prediction(
        predicted,
        measured,
        rank_correlation(predicted, measured) if correlation is None else float(correlation),
        root_mean_square(predicted, measured) if rmse is None else float(rmse),
    )


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's rank correlation: Pearson's of the ranks, equal values sharing their mean rank."""
    ranks = [_ranks(np.asarray(values, dtype=np.float64)) for values in (a, b)]
    centred = [rank - rank.mean() for rank in ranks]
    scale = math.sqrt(float(centred[0] @ centred[0]) * float(centred[1] @ centred[1]))
    return float(centred[0] @ centred[1]) / scale if scale else math.nan


def root_mean_square(a: Sequence[float], b: Sequence[float]) -> float:
    """``√ mean (a − b)²``."""
    return math.sqrt(math.fsum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a))


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def draw_prediction(axes: Axes, data: Prediction, *, label: str = "value") -> None:
    """Draws a dot for each candidate, and the diagonal on which predictions would be exact.

    Predictions far outside the measured range sit as triangles on the frame.
    """
    plain_axes(axes)
    low, high = min(data.measured), max(data.measured)
    reach = (high - low) or abs(high) or 1.0
    low, high = low - 0.12 * reach, high + 0.12 * reach
    axes.plot((low, high), (low, high), color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    pairs = list(zip(data.measured, data.predicted, strict=True))
    inside = [pair for pair in pairs if low <= pair[1] <= high]
    axes.scatter(
        [x for x, _ in inside],
        [y for _, y in inside],
        s=26,
        color=ACCENT,
        alpha=0.7,
        linewidths=0,
        zorder=3,
    )
    edge = {"s": 26, "color": ACCENT, "alpha": 0.7, "linewidths": 0, "clip_on": False, "zorder": 3}
    for place, marker in ((high, "^"), (low, "v")):
        beyond = [x for x, y in pairs if (y > high if place == high else y < low)]
        axes.scatter(beyond, [place] * len(beyond), marker=marker, **edge)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_aspect("equal")
    axes.locator_params(nbins=5)
    axes.set_xlabel(f"measured {label}")
    axes.set_ylabel(f"predicted {label}")
