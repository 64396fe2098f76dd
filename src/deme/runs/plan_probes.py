"""How long a training step and a sampler step take on this machine, measured on a few real ones."""

from __future__ import annotations

import dataclasses
import itertools
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import Accelerator

from ..decouple import TrainingJob, train_expert
from ..denoisers import Denoiser
from ..generate import ImageRequest, SamplerConfig, generate_images
from .flops import BACKWARD

PROBE_STEPS = 3
PROBE_SAMPLER_STEPS = 2
LONGEST_PROBE = 0.5
"""Seconds after which a probe is large enough."""
SLOW_FORWARD = 2.0
"""Seconds of one image's forward pass from which training is not tried but calculated."""
GROWTH = 4
"""A probe's batch is so many times the one before."""


def seconds_per_image_step(denoiser: Denoiser, sampler: SamplerConfig) -> float:
    """Time of one sampler step for one image, at the sampler's batch size or as near as is quick.

    Args:
        denoiser: what is sampled from.
        sampler: how; its number of steps is not read.

    """
    most = sampler.sample_batch_size
    size = 1
    while True:  # larger batches while they are quick: a whole one may not be worth the wait
        short = sampler.model_copy(
            update={"sampler_steps": PROBE_SAMPLER_STEPS, "sample_batch_size": size}
        )
        labels = None
        if denoiser.num_classes is not None:
            labels = torch.zeros(size, dtype=torch.long)
        started = time.perf_counter()
        generate_images(denoiser, ImageRequest(short, 0, size, labels))
        seconds = time.perf_counter() - started
        if size >= most or seconds > LONGEST_PROBE:
            return seconds / (PROBE_SAMPLER_STEPS * size)
        size = min(GROWTH * size, most)


def seconds_per_step(job: TrainingJob, accelerator: Accelerator, forward: float) -> float:
    """Time of one optimizer step, all its micro-batches.

    Micro-batches grow while they are quick. Where that ends before the whole one, the rest is a
    straight line through the last two; where a single forward pass is slow already, the backward
    pass counts as two and the teacher's as one.

    Args:
        job: the training.
        accelerator: device and precision.
        forward: seconds of one image's forward pass.

    """
    config = job.config
    images = config.batch_size * config.gradient_accumulation_steps
    if forward > SLOW_FORWARD:
        return forward * images * (1 + BACKWARD + (job.teacher is not None))
    size = 1
    points: list[tuple[int, float]] = []
    while True:
        points.append((size, _measured(job, accelerator, size)))
        if size == config.batch_size:
            return points[-1][1] * config.gradient_accumulation_steps
        if points[-1][1] > LONGEST_PROBE and len(points) > 1:
            return _extended(points[-2:], images)
        size = min(GROWTH * size, config.batch_size)


def _extended(points: list[tuple[int, float]], images: int) -> float:
    (less, before), (more, after) = points
    slope = max((after - before) / (more - less), 0.0)
    return after + slope * (images - more)


class _EnoughError(Exception):
    """Ends a probe before its checkpoint is written."""


def _measured(job: TrainingJob, accelerator: Accelerator, size: int) -> float:
    """Seconds of one optimizer step with one micro-batch of ``size`` images; the best of a few."""
    times: list[float] = []

    def on_progress(step: int, values: Mapping[str, float]) -> None:
        times.append(time.perf_counter())
        if step == PROBE_STEPS:
            raise _EnoughError

    settings = {"steps": PROBE_STEPS + 1, "compile": False, "snapshots": 0, "batch_size": size}
    config = job.config.model_copy(update={**settings, "gradient_accumulation_steps": 1})
    short = dataclasses.replace(job, config=config)
    try:
        with tempfile.TemporaryDirectory() as folder:
            every = PROBE_STEPS + 2
            train_expert(
                short, Path(folder), accelerator, checkpointing_steps=every, on_progress=on_progress
            )
    except _EnoughError:
        pass
    return min(after - before for before, after in itertools.pairwise(times))
