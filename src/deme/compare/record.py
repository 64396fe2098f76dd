"""``compare.json``: all that the table says, as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ..data import pixels
from ..files import atomic_path
from ..metrics import Detector, Protocol
from ..runs.measured_tables import metrics_of
from ..runs.stages.evaluate import SAMPLES_KEPT
from .comparison import Comparison
from .costs import architecture, arm_costs, seconds_per_sample
from .curve import curve_points
from .intervals import Values, mean_and_deviation, paired_difference
from .judging import ArmValues, kept, values_of
from .models import distinct_networks
from .spec import REAL

RECORD = "compare.json"


def comparison_record(comparison: Comparison, judged: Sequence[str]) -> dict[str, Any]:
    """The record of the arms that are judged so far."""
    spec, context = comparison.spec, comparison.context
    config = spec.run.evaluate
    detectors = [detector.name for detector in context.detectors]
    notes: dict[str, None] = {}
    values = {name: values_of(comparison, comparison.judged_sets(name), notes) for name in judged}
    costs = _costs(comparison, judged)
    reference = values.get(spec.reference)
    arms = {name: _arm(comparison, name, values[name], costs[name]) for name in judged}
    if reference is not None:
        for name in judged:
            if name != spec.reference:
                arms[name]["against"] = _against(reference, values[name], spec.confidence)
    batch = spec.run.decouple.batch_size * spec.run.decouple.gradient_accumulation_steps
    return {
        "name": spec.name,
        "protocol": _protocol(comparison),
        "protocols": {name: _protocol_of(comparison, name).to_dict() for name in detectors},
        "metrics": list(config.metrics),
        "detectors": detectors,
        "floor": {item.name: _floors(comparison, item) for item in context.detectors},
        "seeds": {"training": list(spec.seeds), "noise": list(config.seeds)},
        "images": comparison.judged_count(),
        "confidence": spec.confidence,
        "reference": spec.reference,
        "budget": {
            "steps": comparison.budget_steps,
            "images_per_step": batch,
            "images": comparison.budget_steps * batch,
        },
        "trials": _trials(comparison),
        "halves": context.references[detectors[0]].halves,
        "arms": {name: arms[name] for name in spec.arms if name in arms},
        "curve": curve_points(comparison, judged),
        "notes": list(notes),
        "missing": [name for name in spec.arms if name not in arms],
        "titles": {name: title_of(comparison, name) for name in spec.arms},
    }


def _arm(
    comparison: Comparison, name: str, values: ArmValues, costs: Mapping[str, Any]
) -> dict[str, Any]:
    arm = comparison.spec.arms[name]
    seed = comparison.spec.seeds[0]
    contender = comparison.contender(name, seed)
    choice = comparison.choice(name, seed)
    return {
        "title": title_of(comparison, name),
        "kind": arm.kind,
        "of": arm.made_of(),
        "models": distinct_networks(contender.model),
        **costs,
        **dataclasses.asdict(contender.cost),
        "facts": dict(contender.facts),
        "chosen": choice.setting.describe() if arm.tuned else None,
        "trials": [{**t.setting.describe(), "value": t.value} for t in choice.trials],
        "values": values,
        "metrics": {
            detector: {metric: _spread(series) for metric, series in metrics.items()}
            for detector, metrics in values.items()
        },
    }


def title_of(comparison: Comparison, name: str) -> str:
    """What a reader calls an arm."""
    return comparison.spec.arms[name].title or name.replace("_", " ")


def _costs(comparison: Comparison, judged: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What each arm needs at inference, timed side by side.

    Arms of one architecture are timed once, so that not all models are in memory together.
    """
    seed = comparison.spec.seeds[0]
    costs, alike, timed = {}, {}, {}
    for name in judged:
        contender = comparison.contender(name, seed)
        denoiser = contender.model.open(comparison.context)
        sampler = comparison.sampler_of(contender)
        costs[name] = arm_costs(denoiser, sampler)
        alike[name] = (architecture(denoiser), sampler)
        timed.setdefault(alike[name], (denoiser, sampler))
    seconds = seconds_per_sample(timed)
    return {
        name: {**entry, "seconds_per_sample": seconds[alike[name]]} for name, entry in costs.items()
    }


def _against(reference: ArmValues, other: ArmValues, confidence: float) -> dict[str, Any]:
    """The reference minus another arm, paired."""
    return {
        detector: {
            metric: paired_difference(reference[detector][metric], series, confidence).to_dict()
            for metric, series in metrics.items()
        }
        for detector, metrics in other.items()
    }


def _trials(comparison: Comparison) -> dict[str, Any]:
    spec = comparison.spec
    seeds = spec.seeds if spec.trials.at == "each" else spec.seeds[:1]
    return {
        "learning_rates": spec.trials.learning_rates,
        "averages": spec.trials.averages,
        "count": spec.trials.count,
        "tuned_at": list(seeds),
        "objective": f"frechet, {comparison.context.detectors[0].name}",
    }


def _protocol_of(comparison: Comparison, detector: str) -> Protocol:
    config = comparison.spec.run.evaluate
    reference = comparison.context.references[detector]
    return dataclasses.replace(
        reference.protocol(reference.split[0]),
        generated_images=comparison.judged_count(),
        sampler=config.describe(),
        seeds=tuple(config.seeds),
    )


def _protocol(comparison: Comparison) -> str:
    first = comparison.context.detectors[0].name
    halves = comparison.context.references[first].halves
    said = "tuning and judging on disjoint real halves" if halves else ""
    line = _protocol_of(comparison, first).describe()
    return " · ".join(part for part in (line, said) if part)


def _floors(comparison: Comparison, detector: Detector) -> dict[str, Any]:
    reference = comparison.context.references[detector.name]
    names = metrics_of(detector, comparison.spec.run.evaluate.metrics)

    def floor(name: str) -> dict[str, Any]:
        found = reference.floor(name)
        return {"mean": found.mean, "std": found.deviation, "images": found.images}

    made_from = {"data": comparison.context.source.digest, "detector": detector.digest}
    return {
        name: kept(comparison.context, {"floor": name, **made_from}, lambda name=name: floor(name))
        for name in names
    }


def _spread(values: Values) -> dict[str, float | None]:
    mean, deviation = mean_and_deviation(values)
    return {"mean": mean, "std": deviation}


def write_samples(comparison: Comparison) -> None:
    """The first images of every arm from the same noise, and real ones beside."""
    context = comparison.context
    shown = min(SAMPLES_KEPT, len(context.source))
    samples: dict[str, Tensor] = {REAL: pixels(context.source, list(range(shown)))}
    for name in comparison.spec.arms:
        samples[name] = comparison.judged_sets(name)[0].first_images(context)
    for name, images in samples.items():
        path = context.store.path / "samples" / f"{name}.npy"
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.save(file, images.numpy())


__all__ = ["RECORD", "comparison_record", "write_samples"]
