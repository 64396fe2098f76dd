"""The predicted landscape around the best candidate, and how well predictions held."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, cast

import torch

from .evaluation import Evaluation
from .merge_space import MergeSpace
from .objectives.contract import Objective
from .surface import MomentSurface

RESOLUTION = 25
MOST_AXES = 6
MOST_SETS = 200
"""The best so many evaluations make the surface: more would take memory and change little."""


def predicted_landscape(
    space: MergeSpace, objective: Objective, evaluations: Sequence[Evaluation], best: Evaluation
) -> dict[str, Any] | None:
    """Slices of the prediction through the best candidate, for every pair of axes.

    Args:
        space: what was searched.
        objective: what is predicted.
        evaluations: of any strategy, with their tables.
        best: the candidate that slices go through.

    Returns:
        ``axes``, ``at``, ``best``, ``slices`` (``x`` and ``y`` are axes' numbers, ``values`` has a
        row for each of ``ys``) and ``prediction``; None where there is too little to fit.

    """
    full = [item for item in evaluations if item.images == best.images]
    usable = [item for item in full if math.isfinite(item.value)]
    if len(usable) <= 2:
        return None
    chosen = sorted(usable, key=lambda item: item.value)[:MOST_SETS]
    surface = MomentSurface(objective, space.units)
    for evaluation in chosen:
        surface.add(evaluation)
    axes = _influential(surface, space, best)
    return {
        "axes": [axis.name for axis in space.axes],
        "at": list(best.candidate),
        "best": best.value,
        "slices": [_slice(surface, space, best, x, y) for x, y in itertools.combinations(axes, 2)],
        "prediction": _prediction(usable),
    }


def _influential(surface: MomentSurface, space: MergeSpace, best: Evaluation) -> list[int]:
    """The axes along which the prediction changes most, in order of their number."""
    axes = list(range(len(space.axes)))
    if len(axes) <= MOST_AXES:
        return axes
    point = torch.tensor(best.candidate, dtype=torch.float64)
    steps = torch.diag(torch.tensor(space.units, dtype=torch.float64))
    with torch.no_grad():
        change = (surface.predict(point + steps) - surface.predict(point - steps)).abs()
    return sorted(change.argsort(descending=True)[:MOST_AXES].tolist())


def _slice(
    surface: MomentSurface, space: MergeSpace, best: Evaluation, x: int, y: int
) -> dict[str, Any]:
    xs, ys = (
        torch.linspace(space.axes[i].low, space.axes[i].high, RESOLUTION, dtype=torch.float64)
        for i in (x, y)
    )
    points = torch.tensor(best.candidate, dtype=torch.float64).repeat(RESOLUTION, RESOLUTION, 1)
    points[..., x] = xs[None, :]
    points[..., y] = ys[:, None]
    with torch.no_grad():
        values = surface.predict(points)
    return {
        "x": x,
        "y": y,
        "xs": [round(value, 6) for value in xs.tolist()],
        "ys": [round(value, 6) for value in ys.tolist()],
        "values": [[float(f"{value:.6g}") for value in row] for row in values.tolist()],
    }


def _prediction(evaluations: Sequence[Evaluation]) -> dict[str, Any] | None:
    """What was predicted before sampling against what came; None below three predictions."""
    pairs = [
        (float(item.notes["predicted"]), item.value)
        for item in evaluations
        if "predicted" in item.notes
    ]
    if len(pairs) < 3:
        return None
    return {**prediction_quality(pairs), "pairs": [list(pair) for pair in pairs]}


def prediction_quality(pairs: Sequence[tuple[float, float]]) -> dict[str, float | None]:
    """Spearman's rank correlation and the root mean square error of (predicted, real) pairs."""
    from scipy.stats import spearmanr

    predicted, real = zip(*pairs, strict=True)
    varies = len({*predicted}) > 1 and len({*real}) > 1
    rank = float(cast(Any, spearmanr(predicted, real)).statistic) if varies else None
    errors = [(a - b) ** 2 for a, b in pairs]
    return {"rank_correlation": rank, "rmse": math.sqrt(math.fsum(errors) / len(errors))}
