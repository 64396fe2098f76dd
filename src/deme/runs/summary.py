"""From features to ``metrics.json``: the table, its paired differences, and what stands beside it.

Nothing here depends on when or how fast a run was, so the same run gives the same bytes.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..merge import cosine_matrix
from ..metrics import Detector, measure
from .context import RunContext
from .measured_tables import metrics_of, tables_of
from .reference import Reference

Values = dict[str, dict[str, dict[str, list[float]]]]
"""arm → detector → metric → one value per seed."""
TITLES = {
    "pretrained": "pretrained",
    "joint": "joint finetuning",
    "routed": "routed experts",
    "uniform": "uniform merge",
    "merged": "searched merge",
}


def summarize(
    context: RunContext,
    features: Mapping[str, Sequence[Mapping[str, Tensor]]],
    search: Mapping[str, Any],
) -> dict[str, Any]:
    """All that the table and the report say, as plain JSON values.

    Args:
        context: the run.
        features: per arm, one mapping per seed from detector to features ``(count, D)``, and what
            metrics read beside them under :func:`.measured_tables.table_key`.
        search: the search's result.

    """
    config = context.spec.evaluate
    notes: dict[str, None] = {}
    values: Values = {
        arm: {
            detector.name: _measure(context, seeds, detector, notes)
            for detector in context.detectors
        }
        for arm, seeds in features.items()
    }
    detectors = [detector.name for detector in context.detectors]
    floors = {name: _floors(context, name) for name in detectors}
    merged = values.get("merged", {})
    vectors = context.task_vectors
    base_norm = sum(float(t.double().square().sum()) for t in context.base.values()) ** 0.5
    return {
        "protocol": _protocol(context),
        "metrics": list(config.metrics),
        "seeds": list(config.seeds),
        "images": context.references[detectors[0]].generated_count(config.images),
        "detectors": detectors,
        "floor": floors,
        "arms": {arm: _arm(context, arm, found) for arm, found in values.items()},
        "paired": _paired(values),
        "excess": {name: _excess(values, name, floors) for name in detectors},
        "task_vectors": {
            "names": [vector.name for vector in vectors],
            "norms": [vector.norm() for vector in vectors],
            "relative_norms": [vector.norm() / base_norm for vector in vectors],
            "cosines": cosine_matrix(vectors),
        },
        "search": {
            "weights": list(search["weights"]),
            "value": search["value"],
            "evaluations": len(search["evaluations"]),
            "fresh": _mean(merged.get(detectors[0], {}).get("frechet")),
        },
        "notes": list(notes),
    }


def _measure(
    context: RunContext,
    seeds: Sequence[Mapping[str, Tensor]],
    detector: Detector,
    notes: dict[str, None],
) -> dict[str, list[float]]:
    reference = context.references[detector.name]
    indices = reference.split[0]
    names = metrics_of(detector, context.spec.evaluate.metrics)
    real = reference.evaluation_tables(names)
    found: dict[str, list[float]] = {name: [] for name in names}
    for features in seeds:
        measured = measure(
            names,
            real,
            tables_of(features, detector.name),
            protocol=reference.protocol(indices),
            reference=reference.evaluation,
        )
        for name in names:
            found[name].append(measured[name].value)
        notes.update(dict.fromkeys(f"{detector.name}: {note}" for note in measured.notes))
    return found


def _protocol(context: RunContext) -> str:
    config = context.spec.evaluate
    reference = context.references[context.detectors[0].name]
    protocol = dataclasses.replace(
        reference.protocol(reference.split[0]),
        generated_images=reference.generated_count(config.images),
        sampler=config.describe(),
        seeds=tuple(config.seeds),
    )
    halves = "search and evaluation on disjoint real halves" if reference.halves else ""
    return " · ".join(part for part in (protocol.describe(), halves) if part)


def _floors(context: RunContext, detector: str) -> dict[str, dict[str, float]]:
    reference: Reference = context.references[detector]
    names = metrics_of(reference.detector, context.spec.evaluate.metrics)
    found = {name: reference.floor(name) for name in names}
    return {
        name: {
            "mean": floor.mean,
            "std": floor.deviation,
            "split": floor.values[0],
            "images": floor.images,
        }
        for name, floor in found.items()
    }


def _arm(
    context: RunContext, arm: str, values: dict[str, dict[str, list[float]]]
) -> dict[str, Any]:
    config = context.spec.decouple
    count = len(context.experts)
    taken = context.spec.experts is not None and arm != "joint"  # trained elsewhere: not known
    trained = 0 if arm == "pretrained" or taken else config.steps * count
    batch = (
        config.batch_size * config.gradient_accumulation_steps * context.accelerator.num_processes
    )
    models = count if arm == "routed" else 1
    return {
        "title": TITLES[arm],
        "models": models,
        "parameters": models * context.denoiser.num_parameters(),
        "training_steps": trained,
        "training_images": trained * batch,
        "metrics": {
            detector: {name: _spread(series) for name, series in found.items()}
            for detector, found in values.items()
        },
    }


def _paired(values: Values) -> dict[str, Any]:
    """Merged minus each arm, seed by seed: common noise cancels."""
    if "merged" not in values:
        return {}
    return {
        detector: {
            metric: {
                arm: _spread(
                    [a - b for a, b in zip(series, values[arm][detector][metric], strict=True)]
                )
                for arm in values
                if arm != "merged"
            }
            for metric, series in metrics.items()
        }
        for detector, metrics in values["merged"].items()
    }


def _excess(values: Values, detector: str, floors: Mapping[str, Any]) -> dict[str, float]:
    """Distance above the floor of each arm, and the share of it that the merge removed."""
    if "frechet" not in floors[detector]:
        return {}
    floor = floors[detector]["frechet"]["mean"]
    excess = {
        arm: statistics.fmean(found[detector]["frechet"]) - floor for arm, found in values.items()
    }
    if excess.get("pretrained", 0) > 0 and "merged" in excess:
        excess["reduction"] = 1 - excess["merged"] / excess["pretrained"]
    return excess


def _spread(series: Sequence[float]) -> dict[str, Any]:
    deviation = statistics.stdev(series) if len(series) > 1 else 0.0
    return {"mean": statistics.fmean(series), "std": deviation, "values": list(series)}


def _mean(series: Sequence[float] | None) -> float | None:
    return statistics.fmean(series) if series else None
