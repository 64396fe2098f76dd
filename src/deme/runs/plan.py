"""What a run would cost: steps, memory, disk and time, measured on a few real steps."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from ..decouple import train_expert
from ..decouple.snapshots import SnapshotSchedule
from ..files import free_bytes
from ..generate import ImageRequest, generate_images
from .context import RunContext
from .stages.search_bench import expected_evaluations
from .stages.search_check import require_possible_search
from .stages.train import expert_job

PROBE_STEPS = 3
LONGEST_PROBE = 0.5
"""Seconds after which a probe of sampling is large enough."""
BYTES = 4
TRAINING_COPIES = 5
"""Weights, gradients, two moments and the average."""


@dataclass(frozen=True)
class Plan:
    """A run's cost, as rows of (what, how much) and totals in seconds and bytes."""

    rows: list[tuple[str, str]]
    seconds: float
    disk: int
    memory: int


def plan(context: RunContext, output: Path) -> Plan:
    """Estimates a run from a few training steps and sampler steps on this machine.

    Args:
        context: the run; nothing of it is written.
        output: where it would be written, for the free space there.

    """
    spec = context.spec
    require_possible_search(context)
    experts = len(context.experts)
    parameters = context.denoiser.num_parameters()
    step = 0.0 if spec.experts is not None else _seconds_per_step(context)
    network_call = _seconds_per_image_step(context)
    joint = spec.joint.enabled and "joint" in spec.evaluate.arms
    rates = len(spec.joint.learning_rates or [0]) if joint else 0
    expert_steps = 0 if spec.experts is not None else experts * spec.decouple.steps
    joint_steps = rates * experts * spec.decouple.steps
    candidates = expected_evaluations(context)
    evaluated = spec.evaluate.images or min(len(context.source), 50_000)
    images = len(context.arms) * len(spec.evaluate.seeds) * evaluated
    workers = spec.runtime.workers
    per_step = network_call / workers
    search_time = candidates * spec.search.images * spec.search.sampler_steps * per_step
    evaluate_time = images * spec.evaluate.sampler_steps * per_step
    longest = experts * spec.decouple.steps if joint_steps else spec.decouple.steps
    training_time = max((expert_steps + joint_steps) / workers, longest) * step
    kept = SnapshotSchedule() if spec.experts is not None else spec.decouple.snapshot_schedule()
    snapshots = len(kept.steps) * len(kept.sigmas)
    disk = parameters * BYTES * (experts * (1 + snapshots) + 2 + rates + 4)
    memory = parameters * BYTES * (TRAINING_COPIES + len(kept.sigmas) + 1 + experts)
    rows = [
        ("model", f"{spec.model.path}: {parameters:,} parameters, {context.denoiser.prediction}"),
        ("data", context.source.describe()),
        ("experts", _experts(context)),
        ("joint", f"{joint_steps:,} steps" if joint else "none"),
        ("search", f"about {candidates:,} candidates × {spec.search.images:,} images"),
        ("evaluate", f"{images:,} images in all"),
        ("training time", _duration(training_time)),
        ("search time", _duration(search_time)),
        ("evaluation time", _duration(evaluate_time)),
        ("memory", f"about {_size(memory)} for weights and optimizer, activations beside"),
        ("disk", f"about {_size(disk)}; {_size(free_bytes(output))} free at {output}"),
    ]
    return Plan(rows, training_time + search_time + evaluate_time, disk, memory)


def _experts(context: RunContext) -> str:
    if context.spec.experts is not None:
        return ", ".join(f"{expert.name} {expert.timesteps}" for expert in context.experts)
    steps = context.spec.decouple.steps
    return f"{len(context.experts)} × {steps:,} steps of {_batch(context)} images"


def _batch(context: RunContext) -> int:
    config = context.spec.decouple
    return config.batch_size * config.gradient_accumulation_steps


def _seconds_per_step(context: RunContext) -> float:
    """Time of one optimizer step of an expert, consistency included."""
    config = context.spec.decouple.model_copy(
        update={"steps": PROBE_STEPS, "compile": False, "snapshots": 0}
    )
    times: list[float] = [time.perf_counter()]
    job = dataclasses.replace(expert_job(context, context.experts[0]), config=config)
    with tempfile.TemporaryDirectory() as folder:
        train_expert(
            job,
            Path(folder),
            context.accelerator,
            checkpointing_steps=PROBE_STEPS + 1,
            on_progress=lambda step, values: times.append(time.perf_counter()),
        )
    return min(after - before for before, after in itertools.pairwise(times))


def _seconds_per_image_step(context: RunContext) -> float:
    """Time of one sampler step for one image, at the evaluation's batch size."""
    evaluate = context.spec.evaluate
    most = evaluate.sample_batch_size
    size = 1
    while True:  # larger batches while they are quick: a whole one may not be worth the wait
        short = evaluate.model_copy(update={"sampler_steps": 2, "sample_batch_size": size})
        labels = None
        if context.denoiser.num_classes is not None:
            labels = torch.zeros(size, dtype=torch.long)
        started = time.perf_counter()
        generate_images(context.denoiser, ImageRequest(short, 0, size, labels))
        seconds = time.perf_counter() - started
        if size >= most or seconds > LONGEST_PROBE:
            return seconds / (2 * size)
        size = min(4 * size, most)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    return f"about {seconds / 3600:.1f} h"


def _size(count: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
