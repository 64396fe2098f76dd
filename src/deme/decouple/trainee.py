"""What changes during a training: its start, its checkpoints, and the denoiser that it ends as."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor, nn

from ..denoisers import Denoiser
from ..errors import ConfigError, StorageError
from .balancing import Balancing, make_balancing
from .checkpoint import (
    Checkpoint,
    load_latest,
    load_optimizer_tensors,
    optimizer_tensors,
    save_checkpoint,
)
from .config import TrainingConfig
from .job import TrainingJob
from .power_average import PowerAverages
from .projection import attach_projections, fold_projections

ACCELERATE_LEAVES = ("forward", "_is_accelerate_prepared", "_is_torch_compile")
"""Attributes of a network that was unwrapped. With the second of them it would not be prepared
again: another training of the result would silently go without mixed precision and without its
gradients shared between processes."""


@dataclass
class Trainee:
    """A denoiser in training.

    Args:
        denoiser: holds the bare network.
        network: the same, distributed and compiled: what the loss is computed with.
        ema: the average of the trained parameters, or None.
        optimizer: AdamW.
        balancing: makes a gradient of a step's losses, with what it has learned of them.
        power_averages: averages of other lengths, for snapshots; of no length where none are kept.
        step: optimizer steps done.
        losses: the loss curve so far.

    """

    denoiser: Denoiser
    network: nn.Module
    ema: EMAModel | None
    optimizer: torch.optim.Optimizer
    balancing: Balancing
    power_averages: PowerAverages
    step: int = 0
    losses: list[dict[str, float]] = field(default_factory=list)

    def parameters(self) -> dict[str, nn.Parameter]:
        """The trained parameters by name, of the bare network."""
        return dict(self.denoiser.network.named_parameters())

    def averages(self) -> dict[str, Tensor]:
        """The average of each parameter by its name; the parameters where none is kept."""
        parameters = self.parameters()
        shadows = self.ema.shadow_params if self.ema else list(parameters.values())
        return dict(zip(parameters, shadows, strict=True))


def start_trainee(job: TrainingJob, accelerator: Accelerator) -> Trainee:
    """A clone of what the job starts from, with projections, average and optimizer, at step 0.

    Raises:
        MismatchError: the job's start is of another architecture than its pretrained model.

    """
    config = job.config
    denoiser = job.pretrained.clone()
    if job.start is not None:
        denoiser.load_weights(job.start.weights())
    denoiser.network.requires_grad_(True).train()
    attach_projections(denoiser, job.placement)
    denoiser.to(accelerator.device)
    if config.gradient_checkpointing:
        _checkpoint_gradients(denoiser)
    optimizer = torch.optim.AdamW(
        denoiser.network.parameters(),
        lr=config.learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        weight_decay=config.adam_weight_decay,
        eps=config.adam_epsilon,
    )
    ema = _average(denoiser.network, config) if config.use_ema else None
    widths = config.snapshot_schedule().sigmas
    power_averages = PowerAverages(dict(denoiser.network.named_parameters()), widths)
    prepared, optimizer = accelerator.prepare(denoiser.network, optimizer)
    network = cast(nn.Module, prepared)
    if config.compile:  # last, or accelerate could not undo what it does to the network
        network = cast(nn.Module, torch.compile(network))
    balancing = make_balancing(job, denoiser, network, accelerator)
    return Trainee(denoiser, network, ema, optimizer, balancing, power_averages)


def _checkpoint_gradients(denoiser: Denoiser) -> None:
    enable = getattr(denoiser.network, "enable_gradient_checkpointing", None)
    try:
        if enable is None:
            raise ValueError("its network has no such switch")
        enable()
    except ValueError as error:
        raise ConfigError(
            f"{denoiser.name} has no gradient checkpointing ({error})",
            fix="set decouple.gradient_checkpointing to false",
        ) from error


def _average(network: nn.Module, config: TrainingConfig) -> EMAModel:
    return EMAModel(
        network.parameters(),
        decay=config.ema_max_decay,
        use_ema_warmup=True,
        inv_gamma=config.ema_inv_gamma,
        power=config.ema_power,
        foreach=True,
    )


def save_trainee(
    trainee: Trainee, accelerator: Accelerator, checkpoints: Path, total_limit: int | None
) -> None:
    """Writes a checkpoint from which :func:`resume_trainee` goes on, bit for bit."""
    scaler = accelerator.scaler.state_dict() if accelerator.scaler is not None else {}
    checkpoint = Checkpoint(
        step=trainee.step,
        network={name: value.detach().cpu() for name, value in trainee.parameters().items()},
        ema={name: value.detach().cpu() for name, value in trainee.averages().items()},
        optimizer=optimizer_tensors(trainee.optimizer),
        state={"losses": trainee.losses, "scaler": scaler},
        power_averages={
            name: value.cpu() for name, value in trainee.power_averages.state().items()
        },
        balancing=trainee.balancing.state(),
    )
    save_checkpoint(checkpoints, checkpoint, total_limit)


def resume_trainee(trainee: Trainee, accelerator: Accelerator, folder: Path, steps: int) -> None:
    """Goes on from the newest checkpoint in ``folder``, if there is one.

    Raises:
        StorageError: it is damaged, or of another network or a longer training.

    """
    checkpoint = load_latest(folder)
    if checkpoint is None:
        return
    _require_same_training(trainee, checkpoint, folder, steps)
    averages = trainee.averages()
    with torch.no_grad():
        for name, parameter in trainee.parameters().items():
            parameter.copy_(checkpoint.network[name])
            averages[name].copy_(checkpoint.ema[name])
        for name, average in trainee.power_averages.state().items():
            average.copy_(checkpoint.power_averages[name])
    if trainee.ema is not None:
        trainee.ema.optimization_step = checkpoint.step
    trainee.balancing.load(checkpoint.balancing)
    load_optimizer_tensors(trainee.optimizer, checkpoint.optimizer)
    if accelerator.scaler is not None and checkpoint.state["scaler"]:
        accelerator.scaler.load_state_dict(dict(checkpoint.state["scaler"]))
    trainee.step = checkpoint.step
    trainee.losses = list(checkpoint.state["losses"])


def _require_same_training(
    trainee: Trainee, checkpoint: Checkpoint, folder: Path, steps: int
) -> None:
    own = {name: value.shape for name, value in trainee.parameters().items()}
    if {name: value.shape for name, value in checkpoint.network.items()} != own:
        problem = "another network"
    elif checkpoint.power_averages.keys() != trainee.power_averages.state().keys():
        problem = "a training with other snapshots"
    elif not trainee.balancing.fits(checkpoint.balancing):
        problem = "a training with another weighting or other tasks"
    elif checkpoint.step > steps:
        problem = f"a longer training: step {checkpoint.step} of now {steps}"
    else:
        return
    raise StorageError(
        f"The checkpoints in {folder} are of {problem}",
        fix="delete that folder, or give this training one of its own",
    )


def finish_trainee(trainee: Trainee, accelerator: Accelerator) -> Denoiser:
    """The average becomes the network, and foldable projections are folded into it."""
    accelerator.unwrap_model(trainee.network, keep_fp32_wrapper=False, keep_torch_compile=False)
    network = trainee.denoiser.network
    for name in ACCELERATE_LEAVES:
        vars(network).pop(name, None)
    if trainee.ema is not None:
        trainee.ema.copy_to(network.parameters())
    if hasattr(network, "disable_gradient_checkpointing"):
        cast(Callable[[], None], network.disable_gradient_checkpointing)()
    fold_projections(network)
    network.eval().requires_grad_(False)
    return trainee.denoiser
