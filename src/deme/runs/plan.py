"""What a run would cost: steps, operations, memory, disk and time, from a few real steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from ..decouple.snapshots import SnapshotSchedule
from ..files import free_bytes
from .context import RunContext
from .flops import forward_flops, training_flops
from .plan_probes import seconds_per_image_step, seconds_per_step
from .plan_stand_ins import with_stand_ins
from .stages.search_bench import expected_evaluations
from .stages.search_check import require_possible_search
from .stages.train import expert_job

BYTES = 4
TRAINING_COPIES = 5
"""Weights, gradients, two moments and the average."""
MOST_IMAGES = 50_000
"""What is drawn for a number where nothing else is said and the images are not here to count."""

GPU_SPEED = 100e12
"""Operations a second that a large GPU may achieve in half precision; for orientation."""


@dataclass(frozen=True)
class Plan:
    """A run's cost.

    Args:
        rows: (what, how much), to print.
        seconds: in all.
        disk: bytes.
        memory: bytes of weights and optimizer.
        training_images: images that optimizer steps see.
        drawn_images: images that are sampled.
        flops: floating-point operations in all.

    """

    rows: list[tuple[str, str]]
    seconds: float
    disk: int
    memory: int
    training_images: int
    drawn_images: int
    flops: float


@dataclass(frozen=True)
class _Counts:
    """How much of everything: optimizer steps, candidates and images."""

    experts: int
    expert_steps: int
    joint_steps: int
    candidates: int
    searched: int
    evaluated: int
    step_images: int

    @classmethod
    def of(cls, context: RunContext, known: bool) -> _Counts:
        """Counts of a run; ``known`` says whether its images are there to be counted."""
        spec = context.spec
        experts = len(context.experts)
        joint = spec.joint.enabled and "joint" in spec.evaluate.arms
        rates = len(spec.joint.learning_rates or [0]) if joint else 0
        each = min(len(context.source), MOST_IMAGES) if known else MOST_IMAGES
        candidates = expected_evaluations(context)
        return cls(
            experts=experts,
            expert_steps=0 if spec.experts is not None else experts * spec.decouple.steps,
            joint_steps=rates * experts * spec.decouple.steps,
            candidates=candidates,
            searched=candidates * spec.search.images,
            evaluated=len(context.arms) * len(spec.evaluate.seeds) * (spec.evaluate.images or each),
            step_images=spec.decouple.batch_size * spec.decouple.gradient_accumulation_steps,
        )

    @property
    def training_images(self) -> int:
        """Images that all optimizer steps see."""
        return (self.expert_steps + self.joint_steps) * self.step_images


@dataclass(frozen=True)
class _Times:
    """Seconds of each part, its share of the workers taken."""

    training: float
    search: float
    evaluation: float


def plan(context: RunContext, output: Path) -> Plan:
    """Estimates a run from a few training steps and sampler steps on this machine.

    Where the model, the images or the detector are not here and cannot be fetched, stand-ins are
    timed and a row says so; see :func:`.with_stand_ins`.

    Args:
        context: the run; nothing of it is written.
        output: where it would be written, for the free space there.

    """
    context, absent = with_stand_ins(context)
    require_possible_search(context)
    counts = _Counts.of(context, known="data" not in absent)
    times = _times(context, counts)
    trained, drawn = _operations(context, counts)
    disk, memory = _room(context, counts)
    images = counts.searched + counts.evaluated
    rows = [
        *what_is_used(context, absent, context.spec.model.path),
        *_described(context, counts),
        ("training", f"{_number(counts.training_images)} images, {operations(trained)}"),
        ("sampling", f"{_number(images)} images, {operations(drawn)}"),
        ("operations", speed(trained + drawn)),
        ("timed on", device_name(context)),
        ("training time", duration(times.training)),
        ("search time", duration(times.search)),
        ("evaluation time", duration(times.evaluation)),
        ("memory", f"about {size(memory)} for weights and optimizer, activations beside"),
        ("disk", f"about {size(disk)}; {size(free_bytes(output))} free at {output}"),
    ]
    seconds = times.training + times.search + times.evaluation
    return Plan(rows, seconds, disk, memory, counts.training_images, images, trained + drawn)


def _operations(context: RunContext, counts: _Counts) -> tuple[float, float]:
    """Floating-point operations of all training and of all sampling."""
    spec = context.spec
    forward = forward_flops(context.denoiser)
    teacher = context.teacher is not None
    trained = training_flops(forward, counts.expert_steps * counts.step_images, teacher=teacher)
    trained += training_flops(forward, counts.joint_steps * counts.step_images)
    drawn = counts.searched * spec.search.sampler_steps
    drawn += counts.evaluated * spec.evaluate.sampler_steps
    return trained, float(forward * drawn)


def what_is_used(
    context: RunContext, absent: Mapping[str, str], name: str
) -> list[tuple[str, str]]:
    """Rows of the model and the images, and of the detector where it is not here.

    Args:
        context: the run, stand-ins in it.
        absent: see :func:`.with_stand_ins`.
        name: what the model is called.

    """
    parameters = context.denoiser.num_parameters()
    model = f"{name}: {parameters:,} parameters, {context.denoiser.prediction}"
    rows = [
        ("model", "; ".join([model, *([absent["model"]] if "model" in absent else [])])),
        ("data", absent.get("data") or context.source.describe()),
    ]
    return rows + ([("detector", absent["detector"])] if "detector" in absent else [])


def _described(context: RunContext, counts: _Counts) -> list[tuple[str, str]]:
    spec = context.spec
    experts = f"{counts.experts} × {spec.decouple.steps:,} steps of {counts.step_images} images"
    if spec.experts is not None:
        experts = ", ".join(f"{expert.name} {expert.timesteps}" for expert in context.experts)
    joint = f"{counts.joint_steps:,} steps" if counts.joint_steps else "none"
    return [
        ("experts", experts),
        ("joint", joint),
        ("search", f"about {counts.candidates:,} candidates × {spec.search.images:,} images"),
        ("evaluate", f"{counts.evaluated:,} images in all"),
    ]


def _times(context: RunContext, counts: _Counts) -> _Times:
    spec = context.spec
    workers = spec.runtime.workers
    image_step = seconds_per_image_step(context.denoiser, spec.evaluate)
    step = 0.0
    if spec.experts is None:
        job = expert_job(context, context.experts[0])
        step = seconds_per_step(job, context.accelerator, image_step)
    longest = counts.experts * spec.decouple.steps if counts.joint_steps else spec.decouple.steps
    steps = max((counts.expert_steps + counts.joint_steps) / workers, longest)
    return _Times(
        training=steps * step,
        search=counts.searched * spec.search.sampler_steps * image_step / workers,
        evaluation=counts.evaluated * spec.evaluate.sampler_steps * image_step / workers,
    )


def _room(context: RunContext, counts: _Counts) -> tuple[int, int]:
    """Bytes on disk and in memory."""
    spec = context.spec
    parameters = context.denoiser.num_parameters() * BYTES
    kept = SnapshotSchedule() if spec.experts is not None else spec.decouple.snapshot_schedule()
    snapshots = len(kept.steps) * len(kept.sigmas)
    trials = counts.joint_steps // max(1, counts.experts * spec.decouple.steps)
    disk = parameters * (counts.experts * (1 + snapshots) + 2 + trials + 4)
    memory = parameters * (TRAINING_COPIES + len(kept.sigmas) + 1 + counts.experts)
    return disk, memory


def device_name(context: RunContext) -> str:
    """What the probes ran on."""
    device = context.accelerator.device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{device.type}, {threads} thread{'s' * (threads > 1)}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    if seconds < 5400:
        return f"about {seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"about {seconds / 3600:.1f} h"
    return f"about {seconds / 86_400:,.1f} days"


def size(count: float) -> str:
    """Bytes in the unit that suits them."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def operations(count: float) -> str:
    """Floating-point operations: ``1.2e+17 FLOP``."""
    return f"{count:.2g} FLOP"


def speed(count: float) -> str:
    """Operations, and how long they take at :data:`GPU_SPEED`."""
    return f"{operations(count)} in all: {duration(count / GPU_SPEED)} at 100 TFLOP/s"


def _number(count: int) -> str:
    return f"{count / 1e6:,.1f} million" if count >= 1e6 else f"{count:,}"
