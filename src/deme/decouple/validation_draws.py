"""What validation measures a denoiser on: images, noise and timesteps that derive from a seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..data import ImageSource
from ..denoisers import Conditioning, Denoiser
from ..randomness import generator, noise_like_image
from .partition import TimestepRange


class ValidationBatch(NamedTuple):
    """Inputs ``x_t`` ``(B, …)`` at ``t`` ``(B,)`` and what the network should predict there."""

    x_t: Tensor
    t: Tensor
    target: Tensor
    conditioning: Conditioning


def validation_indices(source: ImageSource, images: int, seed: int) -> list[int]:
    """The first ``images`` of a seeded permutation (fewer where the source is smaller)."""
    order = torch.randperm(len(source), generator=generator(seed, "validation"))
    return order[: min(images, len(source))].tolist()


def validation_batches(
    denoiser: Denoiser,
    source: ImageSource,
    timesteps: TimestepRange,
    *,
    images: int = 512,
    batch_size: int = 256,
    seed: int = 0,
) -> Iterator[ValidationBatch]:
    """The samples of one range, a batch at a time; the batch size does not change what is drawn.

    Timesteps are spread evenly over the range, which leaves their own variance out.
    """
    indices = validation_indices(source, images, seed)
    purpose = f"validation noise {timesteps}"
    spread = torch.linspace(timesteps.low, timesteps.high - 1, len(indices)).round().long()
    spread = spread[torch.randperm(len(indices), generator=generator(seed, purpose))]
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        batch = source.batch(part)
        with torch.no_grad():
            x_0 = denoiser.encode(batch.images)
        shape = tuple(x_0.shape[1:])
        noises = [noise_like_image(seed, index, shape, purpose) for index in part]
        noise = torch.stack(noises).to(x_0.device)
        t = spread[start : start + batch_size].to(x_0.device)
        yield ValidationBatch(
            denoiser.schedule.add_noise(x_0, noise, t),
            t,
            denoiser.schedule.target(denoiser.prediction, x_0, noise, t),
            denoiser.condition(labels=batch.labels, captions=batch.captions),
        )
