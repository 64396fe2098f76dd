"""What ``search/result.json`` says of a search."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ...merge.settings import Setting, format_setting
from ...search import (
    Evaluation,
    MergeSpace,
    SearchResult,
    paired_bootstrap,
    predicted_landscape,
)
from ..context import RunContext
from .search_bench import SearchBench, search_protocol

RESAMPLES = 200
SLOW_DIMENSIONS = 256
"""From so many features on a distance takes long, and fewer resamples must do."""


def search_record(
    context: RunContext, bench: SearchBench, result: SearchResult, fresh: dict[str, float]
) -> dict[str, Any]:
    """The search in plain values.

    Args:
        context: the run.
        bench: what candidates were measured with.
        result: what was found.
        fresh: values of the winner and of the pretrained model on noise that was not searched.

    """
    config, space = context.spec.search, bench.space
    best = result.best
    costs = dict(zip(map(id, result.evaluations), result.costs, strict=True))
    return {
        "experts": list(space.experts),
        "strategy": config.strategy,
        "per": config.per,
        "merge_method": config.merge_method,
        "axes": [dataclasses.asdict(axis) for axis in space.axes],
        "bounds": list(config.bounds),
        "weights": _weights(space, best),
        "parameters": dict(space.at(best.candidate).parameters),
        "point": list(best.candidate),
        "value": best.value,
        "fresh": {
            "seed": config.fresh_seed,
            "value": fresh["value"],
            "pretrained": fresh["pretrained"],
            "optimism": fresh["value"] - best.value,
        },
        "anchors": _anchors(space, result),
        "evaluations": [
            {
                "point": list(item.candidate),
                "weights": _weights(space, item),
                "value": item.value,
                "values": list(item.values),
                "images": item.images,
                "cost": costs[id(item)],
                "notes": dict(item.notes),
            }
            for item in result.evaluations
        ],
        "cost": result.cost,
        "noise": _noise(bench, result),
        "landscape": predicted_landscape(space, bench.objectives[0], result.evaluations, best),
        "pareto": [
            {"point": list(item.candidate), "values": list(item.values)} for item in result.pareto
        ]
        or None,
        "objective": config.objective if not config.pareto else config.pareto[0],
        "objectives": [objective.name for objective in bench.objectives],
        "images": config.images,
        "protocol": search_protocol(context),
    }


def _weights(space: MergeSpace, item: Evaluation) -> list[float | str]:
    """Each expert's weight: a number, or where blocks have their own, the short form of rules."""

    def plain(setting: Setting) -> float | str:
        return float(setting) if isinstance(setting, int | float) else format_setting(setting)

    return [plain(setting) for setting in space.at(item.candidate).weights]


def _anchors(space: MergeSpace, result: SearchResult) -> list[dict[str, Any]]:
    # of the most images: with successive halving anchors are drawn with fewer too
    known = {item.candidate: item for item in sorted(result.evaluations, key=lambda e: e.images)}
    named = [
        (name, known[candidate])
        for name, candidate in space.anchors().items()
        if candidate in known
    ]
    named += [
        ("best scale", item)
        for item in result.evaluations
        if item.notes.get("reason") == "anchor at its best scale"
    ]
    return [
        {"name": name, "point": list(item.candidate), "value": item.value} for name, item in named
    ]


def _noise(bench: SearchBench, result: SearchResult) -> dict[str, Any] | None:
    """The winner against the pretrained model under resampled images."""
    zero = bench.space.anchors()["pretrained"]
    best = result.best
    values = {(item.candidate, item.images): item.value for item in result.evaluations}
    if best.candidate == zero or not math.isfinite(values[zero, best.images]):
        return None
    objective = bench.objectives[0]
    first = {name: best.tables[name] for name in objective.reads}
    second = bench.sets.read(zero, best.images)
    second = {name: second[name] for name in objective.reads}
    wide = max(table.shape[1] for table in first.values()) > SLOW_DIMENSIONS
    found = paired_bootstrap(
        objective, first, second, resamples=RESAMPLES // 8 if wide else RESAMPLES
    )
    return {
        "standard_error": found.standard_error,
        "against_zero": {
            "difference": found.difference,
            "low": found.low,
            "high": found.high,
            "probability_better": found.probability_better,
        },
    }
