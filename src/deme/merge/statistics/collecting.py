"""Collecting an expert's statistics from images, at the timesteps of the range that it owns."""

from __future__ import annotations

import contextlib
import importlib.metadata
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...errors import ConfigError, ModelError
from ..methods.registry import Statistics
from ..state_dict import StateDict
from .expert_statistics import ExpertStatistics, StatisticsDescription
from .fisher import diagonal_fisher
from .forwards import draw_forwards
from .grams import input_grams

if TYPE_CHECKING:  # training's libraries are needed only where statistics are collected
    from ...data import ImageSource
    from ...decouple import TimestepRange
    from ...denoisers import Denoiser

KINDS = ("fisher", "regmean")


def collect_statistics(
    denoiser: Denoiser,
    images: ImageSource,
    timesteps: TimestepRange,
    *,
    kind: Statistics,
    samples: int = 256,
    batch_size: int = 8,
    seed: int = 0,
    max_features: int = 4096,
    progress: Callable[[int], None] | None = None,
) -> ExpertStatistics:
    """The statistics of one expert.

    Each sample is an image, a timestep of the range and noise, drawn by training's own functions
    from ``(seed, sample)``: neither the batch size nor the expert changes what is drawn, so that
    experts of one range are measured on the same samples.

    ``fisher`` is the empirical diagonal Fisher of each floating-point tensor, see
    :func:`~deme.merge.statistics.fisher.diagonal_fisher`: a forward and a backward pass for each
    sample, 8 bytes of memory for each parameter beside the gradient. ``regmean`` has ``E[x xᵀ]``
    of the inputs of each linear layer and convolution, see
    :func:`~deme.merge.statistics.grams.input_grams`: a forward pass for each sample, 8 bytes for
    each element of each matrix.

    Args:
        denoiser: the expert; its network is as before in the end.
        images: what it was trained on, or alike.
        timesteps: the range that it owns.
        kind: ``fisher`` or ``regmean``.
        samples: how many, at least 1; images are used again where they are fewer.
        batch_size: samples in one forward pass of ``regmean``; ``fisher`` takes one at a time.
        seed: what the draws derive from.
        max_features: layers of more inputs get no Gram matrix.
        progress: called with the number of finished samples.

    Raises:
        ConfigError: an unknown kind, a number below 1, or a range that exceeds the model's.
        DataError: images that are not the model's.
        ModelError: values that are not finite.

    """
    if kind not in KINDS:
        raise ConfigError(f"Unknown statistics {kind!r}", choices=KINDS, given=str(kind))
    for name, number in (
        ("samples", samples),
        ("batch_size", batch_size),
        ("max_features", max_features),
    ):
        if number < 1:
            raise ConfigError(f"{name} is {number}", fix=f"give {name} of at least 1")
    size = 1 if kind == "fisher" else batch_size
    skipped: dict[str, str] = {}
    forwards = draw_forwards(denoiser, images, timesteps, samples, size, seed, progress)
    with contextlib.closing(forwards):
        if kind == "fisher":
            tensors = diagonal_fisher(denoiser.network, forwards)
        else:
            tensors, skipped = input_grams(denoiser.network, forwards, max_features)
    _require_finite(tensors, denoiser.name)
    description = StatisticsDescription(
        kind=kind,
        min_timestep=timesteps.low,
        max_timestep=timesteps.high,
        samples=samples,
        images=len(images),
        seed=seed,
        model=denoiser.name,
        weights_sha256=StateDict(denoiser.weights(), denoiser.name).digest(),
        data_sha256=images.digest,
        deme_version=importlib.metadata.version("deme"),
        scale=_root_mean_square(tensors) if kind == "fisher" else 1.0,
        max_features=max_features if kind == "regmean" else None,
        skipped=skipped,
    )
    stored = {name: tensor.float().cpu() for name, tensor in tensors.items()}
    return ExpertStatistics(stored, description)


def _require_finite(tensors: Mapping[str, Tensor], name: str) -> None:
    for weight, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ModelError(
                f"The statistics of {weight} in {name} are not finite (NaN or Inf)",
                fix="look at the expert with deme inspect: its weights or outputs are not finite",
            )


def _root_mean_square(tensors: Mapping[str, Tensor]) -> float:
    """Over all elements of all tensors."""
    count = sum(tensor.numel() for tensor in tensors.values())
    total = math.fsum(float(tensor.square().sum()) for tensor in tensors.values())
    return math.sqrt(total / max(1, count))
