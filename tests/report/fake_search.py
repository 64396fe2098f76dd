"""What a search of each kind stores, with random but coherent numbers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = Sequence[float]
IMAGES = 898
BLOCKS = ("down_blocks.0", "mid_block", "up_blocks.0")
PROTOCOL = "detector digits (3f2a91c07b44) · 898 generated images · ddim-20 · seed 1000"


def search(names: list[str], weights: list[float], kind: str = "surface") -> dict[str, Any]:
    """The record of a search that found these weights.

    Args:
        names: the experts.
        weights: what it found.
        kind: ``older`` (a grid, before records had points and costs), ``surface`` (anchors, a
            prediction and fresh noise), ``block`` (weights by block), ``pareto`` (two objectives),
            ``halving`` (some candidates on fewer images) or ``density`` (a parameter beside them).
    """
    return _older(names, weights) if kind == "older" else KINDS[kind](names, weights)


def bowl(point: Point, best: Point) -> float:
    """A quadratic whose weights interact."""
    offset = np.asarray(point) - np.asarray(best)
    return 27.4 + 9 * float(offset @ offset) + 4 * float(offset.sum()) ** 2


def _older(names: list[str], weights: list[float]) -> dict[str, Any]:
    """A coarse grid (or, for many experts, random points), then steps around the optimum."""
    count = len(names)
    draws = np.random.default_rng(1)
    points = list(_anchors(names).values())[:-1]
    if count <= 4:
        points += list(itertools.product((-0.5, 0.25, 1.0), repeat=count))
    else:
        points += [tuple(row) for row in draws.uniform(-0.5, 1, (150, count))]
    around = draws.choice([-1, 0, 1], (30, count))
    points += [tuple(row) for row in np.round(np.array(weights) + 0.19 * around, 4)]
    points.append(tuple(weights))
    return {
        "experts": names,
        "weights": weights,
        "value": bowl(weights, weights),
        "evaluations": [
            {"weights": [float(w) for w in point], "value": bowl(point, weights)}
            for point in dict.fromkeys(points)
        ],
        "bounds": [-0.5, 1.0],
        "objective": "frechet",
        "images": IMAGES,
        "protocol": PROTOCOL,
    }


def _surface(names: list[str], weights: list[float]) -> dict[str, Any]:
    """Anchors, then proposals that close in on the optimum, each with its prediction."""
    record = _record(names, names, weights)
    record["landscape"] = _landscape(record, lambda point: bowl(point, weights) + 0.1)
    return record


def _density(names: list[str], weights: list[float]) -> dict[str, Any]:
    """The same with a method's parameter beside the weights."""
    record = _record(names, [*names, "density"], [*weights, 0.43])
    record["weights"] = weights
    return record


def _halving(names: list[str], weights: list[float]) -> dict[str, Any]:
    """Some candidates on a quarter of the images, where their values lie higher."""
    record: dict[str, Any] = _record(names, names, weights)
    record["strategy"] = "random"
    for item in record["evaluations"][len(names) + 3 : -1 : 2]:
        item.update(images=IMAGES // 4, cost=0.25, value=item["value"] - 9.0)
    return record


def _pareto(names: list[str], weights: list[float]) -> dict[str, Any]:
    """Two objectives that pull apart; the winner is the first one's best."""
    record = _record(names, names, weights)
    record |= {"strategy": "nsga2", "objectives": ["frechet", "clip_score"]}
    for item in record["evaluations"]:
        item["values"] = [item["value"], 0.3 - 0.2 * item["point"][0]]
    candidates = [(item["point"], item["values"]) for item in record["evaluations"]]
    record["pareto"] = [
        {"point": point, "values": values}
        for point, values in candidates
        if not any(other[0] < values[0] and other[1] < values[1] for _, other in candidates)
    ]
    return record


def _block(names: list[str], weights: list[float]) -> dict[str, Any]:
    """A weight for each block and expert."""
    draws = np.random.default_rng(3)
    axes = [f"{block} {name}" for name in names for block in BLOCKS]
    point = [float(w + d) for w in weights for d in draws.normal(0, 0.1, len(BLOCKS))]
    record = _record(names, axes, point)
    record["weights"] = [
        ",".join(f"{block}={point[len(BLOCKS) * i + j]:.4g}" for j, block in enumerate(BLOCKS))
        + f",{weights[i]:.4g}"
        for i in range(len(names))
    ]
    return record


KINDS: dict[str, Callable[[list[str], list[float]], dict[str, Any]]] = {
    "surface": _surface,
    "density": _density,
    "halving": _halving,
    "pareto": _pareto,
    "block": _block,
}


def _anchors(names: Sequence[str]) -> dict[str, tuple[float, ...]]:
    count = len(names)
    one_hot = {name: tuple(row) for name, row in zip(names, np.eye(count).tolist(), strict=True)}
    uniform = (1 / count,) * count
    named = {"pretrained": (0.0,) * count, **one_hot, "uniform": uniform, "sum": (1.0,) * count}
    once = {point: name for name, point in reversed(named.items())}  # one expert: three are one
    return {name: point for point, name in reversed(once.items())}


def _record(names: list[str], axes: list[str], best: list[float]) -> dict[str, Any]:
    draws = np.random.default_rng(2)
    beside = [0.5] * (len(axes) - len(names))
    anchors = {name: [*point, *beside] for name, point in _anchors(names).items()}
    if len(axes) > len(names) + 1:
        anchors = {"pretrained": [0.0] * len(axes), "sum": [1.0] * len(axes)}
    radius = 0.8 * 0.85 ** np.arange(14)
    steps = np.array(best) + radius[:, None] * draws.normal(0, 0.5, (14, len(axes)))
    proposals = [*np.clip(steps, -0.5, 1.5).tolist(), list(best)]
    evaluations = [_evaluation(point, best, None, draws) for point in anchors.values()]
    zero = evaluations[0]["value"]
    evaluations += [_evaluation(point, best, "model", draws) for point in proposals]
    value = bowl(best, best)
    return {
        "experts": names,
        "axes": [{"name": name, "low": -0.5, "high": 1.5} for name in axes],
        "weights": list(best),
        "point": list(best),
        "value": value,
        "fresh": {
            "seed": 1500,
            "value": value + 0.83,
            "optimism": 0.83,
            "pretrained": zero + 0.5,
        },
        "anchors": [
            {"name": name, "point": item["point"], "value": item["value"]}
            for name, item in zip(anchors, evaluations, strict=False)
        ],
        "evaluations": evaluations,
        "objective": "frechet",
        "images": IMAGES,
        "protocol": PROTOCOL,
        "bounds": [-0.5, 1.5],
        "strategy": "surface",
        "noise": _noise(value - zero),
        "landscape": None,
        "pareto": None,
    }


def _noise(difference: float) -> dict[str, Any]:
    ends = {"low": difference - 0.9, "high": difference + 0.9}
    return {"standard_error": 0.41, "against_zero": {"difference": difference, **ends}}


def _evaluation(
    point: Point, best: Point, reason: str | None, draws: np.random.Generator
) -> dict[str, Any]:
    value = bowl(point, best)
    expected = value + 0.1 * (value - 27) * float(draws.normal())
    return {
        "point": list(point),
        "weights": list(point),
        "value": value,
        "values": [value],
        "images": IMAGES,
        "cost": 1.0,
        "notes": {} if reason is None else {"predicted": expected, "reason": reason},
    }


def _landscape(record: dict[str, Any], predict: Callable[[Point], float]) -> dict[str, Any]:
    """Slices through the best point, on a coarse raster."""
    at = np.array(record["point"])
    grid = np.linspace(-0.5, 1.5, 9)
    slices = []
    for i, j in itertools.combinations(range(len(at)), 2):
        values = [[predict(_moved(at, {i: x, j: y}).tolist()) for x in grid] for y in grid]
        slices.append({"x": i, "y": j, "xs": grid.tolist(), "ys": grid.tolist(), "values": values})
    noted = [item for item in record["evaluations"] if item["notes"]]
    pairs = [[item["notes"]["predicted"], item["value"]] for item in noted]
    return {
        "axes": [axis["name"] for axis in record["axes"]],
        "at": at.tolist(),
        "best": predict(at.tolist()),
        "slices": slices,
        "prediction": {"rank_correlation": 0.971, "rmse": 0.52, "pairs": pairs},
    }


def _moved(at: NDArray[np.float64], changes: dict[int, float]) -> NDArray[np.float64]:
    moved = at.copy()
    for axis, value in changes.items():
        moved[axis] = value
    return moved
