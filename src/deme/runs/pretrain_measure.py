"""What a pretraining comes to: distances of its rounds, and the numbers of its result."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..denoisers import Denoiser
from ..files import read_json, write_json
from ..generate import SamplerConfig
from ..metrics import measure
from .context import RunContext
from .flops import forward_flops, training_flops
from .measured_tables import metrics_of, tables_of
from .pretrain_spec import PlateauConfig, PretrainSpec
from .stages.sampling import draw_features, make_request

STANDARD_ERRORS = 2
"""A fall of the distance counts where it is more than this many of them."""


def measure_round(context: RunContext, spec: PretrainSpec, artifact: str) -> None:
    """Writes ``<artifact>.json``: the Fréchet distance of a round for each seed of the plateau.

    Compared is with the real images that a search would see, so that ``evaluate.reference:
    halves`` leaves the evaluation's images out of the choice.
    """
    detector = context.detectors[0]
    reference = context.references[detector.name]
    count = reference.generated_count(spec.evaluate.images)
    kept = f"{artifact}.json"
    made_from = {
        "model": context.store.digest_of(artifact),
        "data": context.source.digest,
        "detector": detector.digest,
        "protocol": _protocol(spec, count),
        "seeds": list(spec.plateau.seeds),
    }
    if context.store.is_complete(kept, made_from):
        return
    denoiser = context.load_pipeline(context.store.path / artifact)
    distances = []
    with context.reporter.bar("compare", count * len(spec.plateau.seeds)) as bar:
        for seed in spec.plateau.seeds:
            request = make_request(context, spec.evaluate, seed, count)
            features = draw_features(denoiser, request, [detector], on_progress=bar.advance)
            distances.append(reference.search_distance(features[detector.name]))
    write_json(context.store.path / kept, {"distances": distances})
    context.store.complete(kept, made_from)


def compare_rounds(
    before: Sequence[Mapping[str, Any]], distances: Sequence[float], plateau: PlateauConfig
) -> dict[str, Any]:
    """Whether a round helped: it lowered the distance by more than its noise and the least gain.

    Args:
        before: what this function gave for the rounds before.
        distances: of this round, one for each seed, the same seeds for all rounds.
        plateau: the rule.

    Returns:
        ``distances``, ``mean``, ``helped`` and, after the first, ``change`` (mean of the paired
        differences, negative is better) and ``standard_error`` of it over the seeds. The noise of
        training itself is not in it.

    """
    mean = statistics.fmean(distances)
    record: dict[str, Any] = {"distances": list(distances), "mean": mean, "helped": True}
    if not before:
        return record
    last = before[-1]["distances"]
    paired = [new - old for new, old in zip(distances, last, strict=True)]
    change = statistics.fmean(paired)
    error = statistics.stdev(paired) / math.sqrt(len(paired))
    enough = max(STANDARD_ERRORS * error, plateau.least_gain * statistics.fmean(last))
    return {**record, "helped": -change > enough, "change": change, "standard_error": error}


def measure_result(
    context: RunContext, spec: PretrainSpec, result: Path, rounds: list[dict[str, Any]]
) -> dict[str, Any]:
    """Writes ``metrics.json``, unless it is there.

    Returns:
        ``parameters``; ``steps``, ``images`` and ``flops`` of all rounds; ``rounds``, see
        :func:`compare_rounds`; ``protocol`` and ``metrics``, for each detector and metric the
        values over the evaluation's seeds, their mean and deviation, and the floor. Both are
        empty where the spec names no detector.

    """
    detectors = [] if spec.detector is None else context.detectors
    made_from = {
        "model": context.store.digest_of(result.name),
        "data": context.source.digest,
        "detectors": [detector.digest for detector in detectors],
        "evaluate": spec.evaluate.model_dump(mode="json"),
        "rounds": rounds,
    }
    path = context.store.path / "metrics.json"
    if context.store.is_complete(path.name, made_from):
        return read_json(path)
    denoiser = context.load_pipeline(result)
    record = {**_cost(context, spec, denoiser, max(1, len(rounds))), "rounds": rounds}
    record |= _numbers(context, spec, denoiser) if detectors else {"protocol": "", "metrics": {}}
    write_json(path, record)
    context.store.complete(path.name, made_from)
    return record


def _cost(
    context: RunContext, spec: PretrainSpec, denoiser: Denoiser, rounds: int
) -> dict[str, Any]:
    training = spec.training
    batch = training.batch_size * training.gradient_accumulation_steps
    images = rounds * training.steps * batch * context.accelerator.num_processes
    return {
        "parameters": denoiser.num_parameters(),
        "steps": rounds * training.steps,
        "images": images,
        "flops": training_flops(forward_flops(denoiser), images),
    }


def _numbers(context: RunContext, spec: PretrainSpec, denoiser: Denoiser) -> dict[str, Any]:
    config = spec.evaluate
    count = context.references[context.detectors[0].name].generated_count(config.images)
    values: dict[str, dict[str, list[float]]] = {}
    with context.reporter.bar("evaluate", count * len(config.seeds)) as bar:
        for seed in config.seeds:
            drawn = draw_features(
                denoiser,
                make_request(context, config, seed, count),
                context.detectors,
                metrics=config.metrics,
                on_progress=bar.advance,
            )
            for detector in context.detectors:
                known = context.references[detector.name]
                names = metrics_of(detector, config.metrics)
                found = measure(
                    names,
                    known.evaluation_tables(names),
                    tables_of(drawn, detector.name),
                    protocol=known.protocol(known.split[0]),
                    reference=known.evaluation,
                )
                for name in names:
                    of_detector = values.setdefault(detector.name, {})
                    of_detector.setdefault(name, []).append(found[name].value)
    return {"protocol": f"{count} images, {config.describe()}", "metrics": _table(context, values)}


def _table(context: RunContext, values: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Mean, deviation, values and floor of each detector's metrics."""
    return {
        detector: {
            name: {
                "mean": statistics.fmean(series),
                "std": statistics.stdev(series) if len(series) > 1 else 0.0,
                "values": series,
                "floor": context.references[detector].floor(name).mean,
            }
            for name, series in found.items()
        }
        for detector, found in values.items()
    }


def _protocol(spec: PretrainSpec, count: int) -> dict[str, Any]:
    sampler = spec.evaluate.model_dump(mode="json", include=set(SamplerConfig.model_fields))
    return {"sampler": sampler, "images": count, "reference": spec.evaluate.reference}
