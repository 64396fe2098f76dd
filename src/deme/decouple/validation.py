"""The denoising loss on every range, with the same images and the same noise for every model."""

from __future__ import annotations

import torch

from ..data import ImageSource
from ..denoisers import Denoiser
from ..randomness import generator, noise_like_image
from .loss import expert_loss
from .partition import Partition, TimestepRange


def validation_losses(
    denoiser: Denoiser,
    source: ImageSource,
    partition: Partition,
    *,
    images: int = 512,
    batch_size: int = 256,
    seed: int = 0,
) -> list[float]:
    """Mean denoising loss on each range of the partition.

    Images, noise and timesteps derive from ``seed`` alone, so two models' losses are paired.
    Timesteps are spread evenly over the range, which leaves their own variance out.

    Args:
        denoiser: any denoiser, the routed ensemble too.
        source: the images; the first ``images`` of a seeded permutation are used.
        partition: the ranges.
        images: how many images (fewer where the source is smaller).
        batch_size: of the evaluation only; it does not change what is drawn.
        seed: of the permutation, the noise and the timesteps.

    """
    order = torch.randperm(len(source), generator=generator(seed, "validation"))
    indices = order[: min(images, len(source))].tolist()
    return [_range_loss(denoiser, source, item, indices, batch_size, seed) for item in partition]


@torch.no_grad()
def _range_loss(
    denoiser: Denoiser,
    source: ImageSource,
    timesteps: TimestepRange,
    indices: list[int],
    batch_size: int,
    seed: int,
) -> float:
    purpose = f"validation noise {timesteps}"
    spread = torch.linspace(timesteps.low, timesteps.high - 1, len(indices)).round().long()
    spread = spread[torch.randperm(len(indices), generator=generator(seed, purpose))]
    total = 0.0
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        batch = source.batch(part)
        x_0 = denoiser.encode(batch.images)
        shape = tuple(x_0.shape[1:])
        noise = torch.stack([noise_like_image(seed, index, shape, purpose) for index in part])
        loss = expert_loss(
            denoiser,
            denoiser.network,
            None,
            x_0=x_0,
            noise=noise.to(x_0.device),
            t=spread[start : start + batch_size].to(x_0.device),
            conditioning=denoiser.condition(labels=batch.labels, captions=batch.captions),
        )
        total += float(loss.denoising) * len(x_0)
    return total / len(indices)
