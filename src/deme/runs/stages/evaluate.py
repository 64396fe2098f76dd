"""Evaluate: every arm under one protocol, on noise that the search never saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...data import pixels
from ...denoisers import Denoiser
from ...files import atomic_path, hash_value, read_json, write_json
from ...generate import SamplerConfig
from ...merge import InPlaceMerger
from ..context import RunContext
from ..measured_tables import require_measurable, tables_read
from ..protocol_filling import require_resolution
from ..spec import Arm
from ..summary import summarize
from .sampling import draw_features, make_request

SAMPLES_KEPT = 64
SHARD_SIZE = 4096
"""Images drawn between two notes of progress, and lost at most when killed."""


Shard = tuple[Arm, int, int]
"""An arm, a noise seed, and which part of the images."""


def evaluate(context: RunContext) -> bool:
    """Draws each arm's images for each seed, measures them, writes ``metrics.json``.

    Raises:
        ConfigError: a metric reads what none of the detectors makes.
        ProtocolError: the model's images are not of the named protocol's size.

    """
    require_measurable(context.detectors, context.spec.evaluate.metrics)
    require_resolution(context.spec.evaluate.protocol, context.denoiser.resolution)
    shards: list[Shard] = [
        (arm, seed, number)
        for arm in arm_sources(context)
        for seed in context.spec.evaluate.seeds
        for number in range(len(_parts(context)))
    ]
    worked = []
    with context.reporter.bar("evaluate", len(shards)) as bar:
        for shard, drawn in zip(shards, context.workers.map(draw_shard, shards), strict=True):
            worked.append(drawn)
            bar.at(len(worked), f"{shard[0]}, seed {shard[1]}")
    done = {_artifact(shard): context.store.digest_of(_artifact(shard)) for shard in shards}
    return _write_metrics(context, done) or any(worked)


def draw_shard(context: RunContext, shard: Shard) -> bool:
    """Draws a part of an arm's images and keeps their features, unless they are there."""
    arm, seed, number = shard
    digest, load = arm_sources(context)[arm]
    made_from = _inputs(context, digest, shard)
    artifact = _artifact(shard)
    if context.store.is_complete(artifact, made_from):
        return False
    request = make_request(context, context.spec.evaluate, seed, _count(context))
    features = draw_features(
        load(),
        request,
        context.detectors,
        metrics=context.spec.evaluate.metrics,
        indices=_parts(context)[number],
        keep=SAMPLES_KEPT if number == 0 else 0,
    )
    with atomic_path(context.store.path / artifact) as partial:
        save_file(features, partial)
    context.store.complete(artifact, made_from)
    return True


def evaluation_features(context: RunContext, arm: Arm) -> list[dict[str, Tensor]]:
    """Features of an arm by detector (and other tables that metrics read), one entry per seed."""
    found = []
    for seed in context.spec.evaluate.seeds:
        parts = [
            load_file(context.store.path / _artifact((arm, seed, number)))
            for number in range(len(_parts(context)))
        ]
        names = [name for name in parts[0] if name != "images"]
        found.append({name: torch.cat([part[name] for part in parts]) for name in names})
    return found


def _artifact(shard: Shard) -> str:
    arm, seed, number = shard
    return f"evaluation/{arm}-{seed}-{number:03d}.safetensors"


def _parts(context: RunContext) -> list[range]:
    """The image indices of each shard."""
    every = range(_count(context))
    return [every[start : start + SHARD_SIZE] for start in every[::SHARD_SIZE]]


def arm_sources(context: RunContext) -> dict[Arm, tuple[str, Callable[[], Denoiser]]]:
    """Each arm of the table: a hash of what it is, and how to get it."""
    store = context.store
    count = len(context.experts)
    experts = [store.digest_of(f"experts/{expert.name}") for expert in context.experts]
    all_experts = hash_value([context.base_digest, *experts])
    sources: dict[Arm, tuple[str, Callable[[], Denoiser]]] = {
        "pretrained": (context.base_digest, lambda: context.denoiser),
        "routed": (f"routed {all_experts}", lambda: context.routed),
        "uniform": (f"uniform {all_experts}", lambda: _merged(context, (1 / count,) * count)),
    }
    for arm in ("joint", "merged"):
        folder = store.path / arm
        if folder.is_dir():
            sources[arm] = (
                store.digest_of(arm),
                lambda folder=folder: context.load_pipeline(folder),
            )
    return {arm: sources[arm] for arm in context.arms if arm in sources}


def _merged(context: RunContext, weights: tuple[float, ...]) -> Denoiser:
    merger = InPlaceMerger(context.denoiser.clone(), context.base, context.task_vectors)
    return merger(weights)


def _count(context: RunContext) -> int:
    reference = context.references[context.detectors[0].name]
    return reference.generated_count(context.spec.evaluate.images)


def _inputs(context: RunContext, digest: str, shard: Shard) -> dict[str, Any]:
    config = context.spec.evaluate
    indices = _parts(context)[shard[2]]
    tables = {
        detector.name: list(read)
        for detector in context.detectors
        if (read := tables_read(detector, config.metrics))
    }
    return {
        "model": digest,
        "seed": shard[1],
        "images": [indices.start, indices.stop],
        "sampler": config.model_dump(mode="json", include=set(SamplerConfig.model_fields)),
        "detectors": [detector.digest for detector in context.detectors],
        **({"tables": tables} if tables else {}),
    }


def _write_metrics(context: RunContext, done: dict[str, str]) -> bool:
    made_from = {
        "features": done,
        "validation": context.store.digest_of("validation.json"),
        "search": context.store.digest_of("search/result.json"),
        "metrics": list(context.spec.evaluate.metrics),
        "reference": context.spec.evaluate.reference,
    }
    if context.store.is_complete("metrics.json", made_from):
        return False
    arms = list(arm_sources(context))
    _write_samples(context, arms)
    features = {arm: evaluation_features(context, arm) for arm in arms}
    search = read_json(context.store.path / "search" / "result.json")
    write_json(context.store.path / "metrics.json", summarize(context, features, search))
    context.store.complete("metrics.json", made_from)
    return True


def _write_samples(context: RunContext, arms: list[Arm]) -> None:
    """The first images of the first seed, the same noise for every arm, and real ones beside."""
    shown = min(SAMPLES_KEPT, len(context.source))
    samples = {"real": pixels(context.source, list(range(shown)))}
    for arm in arms:
        first = _artifact((arm, context.spec.evaluate.seeds[0], 0))
        samples[arm] = load_file(context.store.path / first)["images"]
    for name, images in samples.items():
        with (
            atomic_path(context.store.path / "samples" / f"{name}.npy") as partial,
            partial.open("wb") as file,
        ):
            np.save(file, images.numpy())
