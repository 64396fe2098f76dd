"""What a pretraining would cost, from a few real steps and images."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..files import free_bytes
from .context import RunContext
from .flops import forward_flops, training_flops
from .plan import (
    BYTES,
    MOST_IMAGES,
    TRAINING_COPIES,
    Plan,
    device_name,
    duration,
    operations,
    size,
    speed,
    what_is_used,
)
from .plan_probes import seconds_per_image_step, seconds_per_step
from .plan_stand_ins import with_stand_ins
from .pretrain_spec import PretrainSpec
from .pretrain_start import described_start, start_config, write_start
from .progress import Reporter
from .stages.train import expert_job
from .store import RunStore


def plan_pretraining(spec: PretrainSpec, output: Path, reporter: Reporter) -> tuple[Plan, Path]:
    """The cost of all rounds, and the folder that it would be written to; nothing is written there.

    Args:
        spec: the pretraining.
        output: the folder that holds runs.
        reporter: where progress goes.

    """
    store = RunStore(output, spec)
    with tempfile.TemporaryDirectory() as folder:
        start = Path(folder) / "start"
        described = described_start(spec, Path(folder))
        if described is not None:
            write_start(described, start)
        run = spec.as_run(start_config(spec, start))
        context = RunContext(run, store, reporter)
        if spec.detector is None:
            vars(context)["detectors"] = []
        context, absent = with_stand_ins(context)
        return _estimate(spec, context, absent, output), store.path


def _estimate(
    spec: PretrainSpec, context: RunContext, absent: Mapping[str, str], output: Path
) -> Plan:
    denoiser = context.denoiser
    training, rounds = spec.training, spec.plateau.rounds
    batch = training.batch_size * training.gradient_accumulation_steps
    seen = rounds * training.steps * batch
    drawn = _drawn(spec, len(context.source))
    image_step = seconds_per_image_step(denoiser, spec.evaluate)
    step = seconds_per_step(
        expert_job(context, context.experts[0]), context.accelerator, image_step
    )
    forward = forward_flops(denoiser)
    trained = training_flops(forward, seen)
    sampled = forward * drawn * spec.evaluate.sampler_steps
    parameters = denoiser.num_parameters() * BYTES
    disk = parameters * (TRAINING_COPIES + 2 + (rounds if rounds > 1 else 0))
    sampling_time = drawn * spec.evaluate.sampler_steps * image_step
    training_time = rounds * training.steps * step
    at_most = f"at most {rounds} × " if rounds > 1 else ""
    epochs = "" if "data" in absent else f", {seen / len(context.source):,.1f} times the data"
    rows = [
        *what_is_used(context, absent, _name(spec)),
        ("training", f"{at_most}{training.steps:,} steps of {batch} images"),
        ("images", f"{seen:,}{epochs}; {operations(trained)}"),
        ("evaluate", f"{drawn:,} images in all; {operations(sampled)}"),
        ("operations", speed(trained + sampled)),
        ("timed on", device_name(context)),
        ("one step", f"{step:.3g} s"),
        ("one image", f"{spec.evaluate.sampler_steps * image_step:.3g} s"),
        ("training time", duration(training_time)),
        ("evaluation time", duration(sampling_time)),
        ("memory", f"about {size(parameters * TRAINING_COPIES)}, activations beside"),
        ("disk", f"about {size(disk)}; {size(free_bytes(output))} free at {output}"),
    ]
    seconds = training_time + sampling_time
    memory = parameters * TRAINING_COPIES
    return Plan(rows, seconds, disk, memory, seen, drawn, trained + sampled)


def _drawn(spec: PretrainSpec, real: int) -> int:
    """Images that measuring and the picture draw."""
    if spec.detector is None:
        return spec.samples.images
    compared = real // 2 if spec.evaluate.reference == "halves" else real
    each = spec.evaluate.images or min(compared, MOST_IMAGES)
    rounds = spec.plateau.rounds
    sets = len(spec.evaluate.seeds) + (rounds * len(spec.plateau.seeds) if rounds > 1 else 0)
    return sets * each + spec.samples.images


def _name(spec: PretrainSpec) -> str:
    """What is trained, in a word."""
    architecture = spec.model.architecture
    if architecture is None:
        return str(spec.model.path) + (", random weights" if spec.model.random_weights else "")
    return architecture if isinstance(architecture, str) else "its own architecture"
