"""The one training loop. Experts, joint finetuning and every baseline go through it.

Where it differs from the published code: the teacher never changes; a step is an optimizer step
and not a micro-batch; and the loop has no state but weights, averages and moments, because each
draw derives from (seed, step, micro-batch, rank). So the same command resumes, bit for bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor

from ..errors import TrainingError
from ..randomness import derive_seed
from .config import TrainingConfig, learning_rate_factor
from .draws import Draw, Drawer
from .job import ProgressCallback, TrainingJob, TrainingResult
from .loss import SampleErrors, sample_errors
from .snapshots import SnapshotWriter
from .trainee import Trainee, finish_trainee, resume_trainee, save_trainee, start_trainee

LOSSES_KEPT = 400
"""About this many points of the loss curve are kept, each a mean over the steps between."""


def train_expert(
    job: TrainingJob,
    folder: Path,
    accelerator: Accelerator,
    *,
    checkpointing_steps: int = 500,
    checkpoints_total_limit: int | None = 1,
    on_progress: ProgressCallback | None = None,
) -> TrainingResult:
    """Trains, resuming from the newest checkpoint in ``folder / "checkpoints"``.

    Snapshots of averages, where the configuration wants any, go to ``folder / "snapshots"``.

    Mixed precision and processes are the accelerator's; what was prepared with it is released
    at the end.

    Args:
        job: what to train on what.
        folder: this training's own folder.
        accelerator: device, precision and processes.
        checkpointing_steps: a checkpoint is written after each so many steps, and at the end.
        checkpoints_total_limit: how many checkpoints stay; None keeps all.
        on_progress: called about 400 times, and before each checkpoint.

    Raises:
        TrainingError: the loss or the gradient is not a number; the last good checkpoint stays.
        StorageError: no space, no permission, or a damaged checkpoint.

    """
    try:
        trainee = start_trainee(job, accelerator)
        resume_trainee(trainee, accelerator, folder / "checkpoints", job.config.steps)
        trainee.balancing.prepare()
        snapshots = SnapshotWriter(folder, job.config.snapshot_schedule())
        if accelerator.is_main_process:
            snapshots.resume(trainee.step)
        for save in _progress(job, trainee, accelerator, checkpointing_steps, on_progress):
            if accelerator.is_main_process:
                snapshots.after(trainee.step, trainee.power_averages.tensors)
            if save and accelerator.is_main_process:
                save_trainee(trainee, accelerator, folder / "checkpoints", checkpoints_total_limit)
        accelerator.wait_for_everyone()
        return TrainingResult(finish_trainee(trainee, accelerator), trainee.losses)
    finally:
        accelerator.free_memory()


def _progress(
    job: TrainingJob,
    trainee: Trainee,
    accelerator: Accelerator,
    checkpointing_steps: int,
    on_progress: ProgressCallback | None,
) -> Iterator[bool]:
    """Takes the optimizer steps that are left; yields after each whether to save now."""
    config = job.config
    every = max(1, config.steps // LOSSES_KEPT)
    look = 1 if accelerator.device.type == "cpu" else every  # looking waits for the device
    pending: list[Tensor] = []
    with contextlib.closing(_drawer(job, accelerator).steps(trainee.step, config.steps)) as steps:
        for step, draws in enumerate(steps, start=trainee.step):
            pending.append(_optimizer_step(job, trainee, accelerator, draws, step))
            trainee.step = step + 1
            save = trainee.step % checkpointing_steps == 0 or trainee.step == config.steps
            if trainee.step % look == 0 or save:
                _stop_if_not_finite(pending, job, accelerator, trainee.step)
            if trainee.step % every == 0 or save:  # so a resumed curve has the same points
                trainee.losses.append(_point(pending, config, accelerator, trainee.step))
                pending.clear()
                if on_progress is not None:
                    on_progress(trainee.step, trainee.losses[-1])
            yield save


def _drawer(job: TrainingJob, accelerator: Accelerator) -> Drawer:
    return Drawer(
        job.source,
        job.timesteps,
        batch_size=job.config.batch_size,
        accumulation=job.config.gradient_accumulation_steps,
        seed=derive_seed(job.seed, "training", job.name),
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )


def _optimizer_step(
    job: TrainingJob, trainee: Trainee, accelerator: Accelerator, draws: list[Draw], step: int
) -> Tensor:
    """One optimizer step; returns (loss, denoising, consistency, gradient norm), not synced."""
    config = job.config
    torch.manual_seed(derive_seed(job.seed, "dropout", job.name, step, accelerator.process_index))
    errors_of = partial(_errors, job, trainee, accelerator.device)
    means = trainee.balancing.backward(draws, errors_of, step)
    norm = accelerator.clip_grad_norm_(trainee.network.parameters(), config.max_grad_norm)
    rate = config.learning_rate * learning_rate_factor(config, step)
    for group in trainee.optimizer.param_groups:
        group["lr"] = rate
    trainee.optimizer.step()
    trainee.optimizer.zero_grad(set_to_none=True)
    if trainee.ema is not None:
        trainee.ema.step(trainee.denoiser.network.parameters())
    trainee.power_averages.update(trainee.denoiser.network.parameters(), step + 1)
    return torch.cat([means, cast(Tensor, norm).detach().reshape(1)])


def _errors(job: TrainingJob, trainee: Trainee, device: torch.device, draw: Draw) -> SampleErrors:
    denoiser = trainee.denoiser
    x_0 = denoiser.encode(draw.batch.images.to(device, non_blocking=True))
    return sample_errors(
        denoiser,
        trainee.network,
        job.teacher if job.consistency else None,
        x_0=x_0,
        noise=draw.noise(denoiser.sample_shape).to(device, non_blocking=True),
        t=draw.t.to(device, non_blocking=True),
        conditioning=denoiser.condition(labels=draw.batch.labels, captions=draw.batch.captions),
        weighting=trainee.balancing.weighting,
    )


def _stop_if_not_finite(
    pending: list[Tensor], job: TrainingJob, accelerator: Accelerator, step: int
) -> None:
    """Raises at the first of the pending steps, the last of which is ``step``, that went wrong."""
    seen = cast(Tensor, accelerator.reduce(torch.stack(pending), "mean"))  # a nan of any process
    if accelerator.mixed_precision == "fp16":
        seen = seen[:, :3]  # its scaler lets gradients overflow, and skips that step
    wrong = ~torch.isfinite(seen)
    if not bool(wrong.any()):
        return
    row = int(wrong.any(1).nonzero()[0])
    what = "loss" if bool(wrong[row, :3].any()) else "gradient"
    raise TrainingError(
        f"The {what} of {job.name} is not a finite number at step {step - len(pending) + row + 1}",
        fix="lower decouple.learning_rate, use mixed_precision: bf16 or no instead of fp16, or "
        "look for broken images; the last good checkpoint is kept",
    )


def _point(
    pending: list[Tensor], config: TrainingConfig, accelerator: Accelerator, step: int
) -> dict[str, float]:
    """A point of the loss curve: means over the pending steps and over all processes."""
    means = cast(Tensor, accelerator.reduce(torch.stack(pending).mean(0), "mean"))
    total, denoising, consistency, norm = means.tolist()
    return {
        "step": step,
        "loss": total,
        "denoising": denoising,
        "consistency": consistency,
        "grad_norm": norm,
        "learning_rate": config.learning_rate * learning_rate_factor(config, step - 1),
    }
