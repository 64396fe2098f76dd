"""The one training loop. Experts, joint finetuning and every baseline go through it.

Where it differs from the published code: the teacher never changes; a step is an optimizer step
and not a micro-batch; and the loop has no state but weights, averages and moments, because each
draw derives from (seed, step, micro-batch, rank). So the same command resumes, bit for bit.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from ..data import ImageSource
from ..denoisers import Denoiser
from ..denoisers.contract import Placement
from ..errors import ConfigError, TrainingError
from ..randomness import derive_seed
from .checkpoint import (
    Checkpoint,
    load_latest,
    load_optimizer_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from .config import TrainingConfig, learning_rate_factor
from .draws import Draw, Drawer
from .loss import expert_loss
from .projection import attach_projections, fold_projections
from .timesteps import TimestepSampler
from .weightings import make_weighting

LOSSES_KEPT = 400
"""About this many points of the loss curve are kept, each a mean over the steps between."""


@dataclass(frozen=True)
class TrainingJob:
    """One training: what is trained on what.

    Args:
        name: unique in the run; part of the seed's meaning.
        pretrained: where it starts; never changed.
        source: the images.
        timesteps: how t is drawn.
        config: steps, rates and averages.
        placement: where channel-wise projections go.
        teacher: the frozen model of the consistency loss, or None.
        consistency: coefficient of the consistency loss.
        seed: the run's training seed.

    """

    name: str
    pretrained: Denoiser
    source: ImageSource
    timesteps: TimestepSampler
    config: TrainingConfig
    placement: Placement
    teacher: Denoiser | None
    consistency: float
    seed: int


@dataclass(frozen=True)
class TrainingResult:
    """A finished training: the denoiser (its average, projections folded) and its loss curve."""

    denoiser: Denoiser
    losses: list[dict[str, float]]


@dataclass
class Trainee:
    """What changes during training."""

    denoiser: Denoiser
    network: nn.Module
    ema: EMAModel | None
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name, of the bare network."""
        return dict(self.denoiser.network.named_parameters())


ProgressCallback = Callable[[int, Mapping[str, float]], None]
"""Called with the number of finished steps and the latest means (loss, rate)."""


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

    Raises:
        TrainingError: the loss or the gradient is not a number; the last good checkpoint stays.
        StorageError: no space, no permission, or a damaged checkpoint.

    """
    config = job.config
    checkpoints = folder / "checkpoints"
    trainee = _start(job, accelerator)
    _resume(trainee, accelerator, checkpoints)
    drawer = Drawer(
        job.source,
        job.timesteps,
        batch_size=config.batch_size,
        accumulation=config.gradient_accumulation_steps,
        seed=derive_seed(job.seed, "training", job.name),
        rank=accelerator.process_index,
        world=accelerator.num_processes,
    )
    every = max(1, config.steps // LOSSES_KEPT)
    look = 1 if accelerator.device.type == "cpu" else every  # looking waits for the device
    pending: list[Tensor] = []
    for step, draws in enumerate(drawer.steps(trainee.step, config.steps), start=trainee.step):
        pending.append(_optimizer_step(job, trainee, accelerator, draws, step))
        trainee.step = step + 1
        save = trainee.step % checkpointing_steps == 0 or trainee.step == config.steps
        if trainee.step % look == 0 or save:
            _stop_if_not_finite(pending, job, trainee.step)
        if trainee.step % every == 0 or save:  # saved means a resumed curve has the same points
            _log(trainee, pending, config)
            pending.clear()
            if on_progress is not None:
                on_progress(trainee.step, trainee.losses[-1])
        if save and accelerator.is_main_process:
            _save(trainee, accelerator, checkpoints, checkpoints_total_limit)
    accelerator.wait_for_everyone()
    return _finish(trainee, accelerator)


def _start(job: TrainingJob, accelerator: Accelerator) -> Trainee:
    config = job.config
    denoiser = job.pretrained.clone()
    denoiser.network.requires_grad_(True).train()
    attach_projections(denoiser, job.placement)
    denoiser.to(accelerator.device)
    if config.gradient_checkpointing:
        if not hasattr(denoiser.network, "enable_gradient_checkpointing"):
            raise ConfigError(
                f"{denoiser.name} has no gradient checkpointing",
                fix="set decouple.gradient_checkpointing to false",
            )
        cast(Callable[[], None], denoiser.network.enable_gradient_checkpointing)()
    optimizer = torch.optim.AdamW(
        denoiser.network.parameters(),
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        weight_decay=config.adam_weight_decay,
        eps=config.adam_epsilon,
    )
    ema = None
    if config.use_ema:
        ema = EMAModel(
            denoiser.network.parameters(),
            decay=config.ema_max_decay,
            use_ema_warmup=True,
            inv_gamma=config.ema_inv_gamma,
            power=config.ema_power,
            foreach=True,
        )
    network = torch.compile(denoiser.network) if config.compile else denoiser.network
    network, optimizer = accelerator.prepare(network, optimizer)
    return Trainee(denoiser, cast(nn.Module, network), ema, optimizer)


def _optimizer_step(
    job: TrainingJob, trainee: Trainee, accelerator: Accelerator, draws: list[Draw], step: int
) -> Tensor:
    """One optimizer step; returns (loss, denoising, consistency, gradient norm), not synced."""
    config = job.config
    torch.manual_seed(derive_seed(job.seed, "dropout", job.name, step, accelerator.process_index))
    parts = torch.zeros(3, device=accelerator.device)
    for micro, draw in enumerate(draws):
        last = micro == len(draws) - 1
        waiting = contextlib.nullcontext() if last else accelerator.no_sync(trainee.network)
        with waiting, accelerator.autocast():
            loss = _loss(job, trainee, draw, accelerator.device)
            accelerator.backward(loss[0] / len(draws))
        parts += torch.stack(loss).detach() / len(draws)
    norm = accelerator.clip_grad_norm_(trainee.network.parameters(), config.max_grad_norm)
    rate = config.learning_rate * learning_rate_factor(config, step)
    for group in trainee.optimizer.param_groups:
        group["lr"] = rate
    trainee.optimizer.step()
    trainee.optimizer.zero_grad(set_to_none=True)
    if trainee.ema is not None:
        trainee.ema.step(trainee.denoiser.network.parameters())
    return torch.cat([parts, cast(Tensor, norm).detach().reshape(1)])


def _loss(job: TrainingJob, trainee: Trainee, draw: Draw, device: torch.device) -> list[Tensor]:
    denoiser = trainee.denoiser
    x_0 = denoiser.encode(draw.batch.images.to(device, non_blocking=True))
    conditioning = denoiser.condition(labels=draw.batch.labels, captions=draw.batch.captions)
    loss = expert_loss(
        denoiser,
        trainee.network,
        job.teacher,
        x_0=x_0,
        noise=draw.noise(denoiser.sample_shape).to(device, non_blocking=True),
        t=draw.t.to(device, non_blocking=True),
        conditioning=conditioning,
        consistency=job.consistency,
        weighting=make_weighting(job.config.weighting),
    )
    return list(loss)


def _stop_if_not_finite(pending: list[Tensor], job: TrainingJob, step: int) -> None:
    if not pending:
        return
    loose = 1 if job.config.mixed_precision == "fp16" else 0  # its scaler lets norms overflow
    values = torch.stack(pending)[:, : 4 - loose]
    finite = torch.isfinite(values).all(1)
    if bool(finite.all()):
        return
    first = step - len(pending) + int((~finite).nonzero()[0]) + 1
    raise TrainingError(
        f"The loss of {job.name} is not a number at step {first} "
        f"(loss {float(values[int((~finite).nonzero()[0]), 0]):.4g})",
        fix="lower decouple.learning_rate, use mixed_precision: bf16 or no instead of fp16, or "
        "look for broken images; the last good checkpoint is kept",
    )


def _log(trainee: Trainee, pending: list[Tensor], config: TrainingConfig) -> None:
    total, denoising, consistency, norm = torch.stack(pending).mean(0).tolist()
    trainee.losses.append(
        {
            "step": trainee.step,
            "loss": total,
            "denoising": denoising,
            "consistency": consistency,
            "grad_norm": norm,
            "learning_rate": config.learning_rate * learning_rate_factor(config, trainee.step - 1),
        }
    )


def _averages(trainee: Trainee) -> dict[str, Tensor]:
    parameters = trainee.parameters()
    shadows = trainee.ema.shadow_params if trainee.ema else list(parameters.values())
    return {name: shadow.detach().cpu() for name, shadow in zip(parameters, shadows, strict=True)}


def _save(
    trainee: Trainee, accelerator: Accelerator, checkpoints: Path, total_limit: int | None
) -> None:
    scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else {}
    checkpoint = Checkpoint(
        step=trainee.step,
        network={name: value.detach().cpu() for name, value in trainee.parameters().items()},
        ema=_averages(trainee),
        optimizer=optimizer_tensors(trainee.optimizer),
        state={"losses": trainee.losses, "scaler": scaler},
    )
    save_checkpoint(checkpoints, checkpoint, total_limit)


def _resume(trainee: Trainee, accelerator: Accelerator, checkpoints: Path) -> None:
    checkpoint = load_latest(checkpoints)
    if checkpoint is None:
        return
    parameters = trainee.parameters()
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(checkpoint.network[name])
        if trainee.ema is not None:
            for name, shadow in zip(parameters, trainee.ema.shadow_params, strict=True):
                shadow.copy_(checkpoint.ema[name])
            trainee.ema.optimization_step = checkpoint.step
    load_optimizer_tensors(trainee.optimizer, checkpoint.optimizer)
    if accelerator.scaler is not None and checkpoint.state["scaler"]:
        accelerator.scaler.load_state_dict(dict(checkpoint.state["scaler"]))
    trainee.step = checkpoint.step
    trainee.losses = list(checkpoint.state["losses"])


def _finish(trainee: Trainee, accelerator: Accelerator) -> TrainingResult:
    """The average becomes the network, and projections are folded into it."""
    accelerator.unwrap_model(trainee.network, keep_fp32_wrapper=False)
    network = trainee.denoiser.network
    if trainee.ema is not None:
        trainee.ema.copy_to(network.parameters())
    if hasattr(network, "disable_gradient_checkpointing"):
        cast(Callable[[], None], network.disable_gradient_checkpointing)()
    fold_projections(network)
    network.eval().requires_grad_(False)
    accelerator.free_memory()
    return TrainingResult(trainee.denoiser, trainee.losses)
