"""Evaluate: every arm under one protocol, on noise that the search never saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file
from torch import Tensor

from ...data import pixels
from ...denoisers import Denoiser
from ...files import atomic_path, hash_value, read_json, write_json
from ...merge import InPlaceMerger
from ..context import RunContext
from ..spec import Arm
from ..summary import summarize
from .sampling import draw_features, make_request

SAMPLES_KEPT = 64


def evaluate(context: RunContext) -> bool:
    """Draws each arm's images for each seed, measures them, writes ``metrics.json``."""
    arms = arm_sources(context)
    worked = False
    done: dict[str, dict[str, str]] = {}
    total = len(arms) * len(context.spec.evaluate.seeds) * _count(context)
    with context.reporter.bar("evaluate", total) as bar:
        for arm, (digest, load) in arms.items():
            done[arm] = {}
            for seed in context.spec.evaluate.seeds:
                made_from = _inputs(context, digest, seed)
                artifact = f"evaluation/{arm}-{seed}.safetensors"
                if context.store.is_complete(artifact, made_from):
                    bar.advance(_count(context))
                else:
                    worked = True
                    _draw(context, load(), artifact, seed, bar.advance)
                    context.store.complete(artifact, made_from)
                done[arm][str(seed)] = context.store.digest_of(artifact)
    return _write_metrics(context, done) or worked


def evaluation_features(context: RunContext, arm: str) -> list[dict[str, Tensor]]:
    """Features of an arm by detector, one entry per seed."""
    folder = context.store.path / "evaluation"
    return [load_file(folder / f"{arm}-{seed}.safetensors") for seed in context.spec.evaluate.seeds]


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
    return {arm: sources[arm] for arm in context.spec.evaluate.arms if arm in sources}


def _merged(context: RunContext, weights: tuple[float, ...]) -> Denoiser:
    merger = InPlaceMerger(context.denoiser.clone(), context.base, context.task_vectors)
    return merger(weights)


def _count(context: RunContext) -> int:
    reference = context.references[context.detectors[0].name]
    return reference.generated_count(context.spec.evaluate.images)


def _inputs(context: RunContext, digest: str, seed: int) -> dict[str, Any]:
    config = context.spec.evaluate
    return {
        "model": digest,
        "seed": seed,
        "count": _count(context),
        "sampler": config.model_dump(
            mode="json", include={"sampler", "sampler_steps", "eta", "sample_batch_size"}
        ),
        "detectors": [detector.digest for detector in context.detectors],
    }


def _draw(
    context: RunContext,
    denoiser: Denoiser,
    artifact: str,
    seed: int,
    on_progress: Callable[[int], None],
) -> None:
    request = make_request(context, context.spec.evaluate, seed, _count(context))
    features = draw_features(
        denoiser, request, context.detectors, keep=SAMPLES_KEPT, on_progress=on_progress
    )
    with atomic_path(context.store.path / artifact) as partial:
        save_file(features, partial)


def _write_metrics(context: RunContext, done: dict[str, dict[str, str]]) -> bool:
    made_from = {
        "features": done,
        "validation": context.store.digest_of("validation.json"),
        "search": context.store.digest_of("search/result.json"),
        "metrics": list(context.spec.evaluate.metrics),
        "reference": context.spec.evaluate.reference,
    }
    if context.store.is_complete("metrics.json", made_from):
        return False
    _write_samples(context, list(done))
    features = {arm: evaluation_features(context, arm) for arm in done}
    search = read_json(context.store.path / "search" / "result.json")
    write_json(context.store.path / "metrics.json", summarize(context, features, search))
    context.store.complete("metrics.json", made_from)
    return True


def _write_samples(context: RunContext, arms: list[str]) -> None:
    """The first images of the first seed, the same noise for every arm, and real ones beside."""
    shown = min(SAMPLES_KEPT, len(context.source))
    samples = {"real": pixels(context.source, list(range(shown)))}
    for arm in arms:
        samples[arm] = evaluation_features(context, arm)[0]["images"]
    for name, images in samples.items():
        with (
            atomic_path(context.store.path / "samples" / f"{name}.npy") as partial,
            partial.open("wb") as file,
        ):
            np.save(file, images.numpy())
