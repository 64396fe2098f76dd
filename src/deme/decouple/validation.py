"""The denoising loss on every range, with the same images and the same noise for every model."""

from __future__ import annotations

import torch
from torch import Tensor

from ..data import ImageSource
from ..denoisers import Denoiser
from .partition import Partition
from .validation_draws import validation_batches


def validation_losses(
    denoiser: Denoiser,
    source: ImageSource,
    partition: Partition,
    *,
    images: int = 512,
    batch_size: int = 256,
    seed: int = 0,
) -> list[float]:
    """Mean denoising loss on each range: the means of :func:`validation_table`'s columns."""
    table = validation_table(
        denoiser, source, partition, images=images, batch_size=batch_size, seed=seed
    )
    return table.double().mean(dim=0).tolist()


@torch.no_grad()
def validation_table(
    denoiser: Denoiser,
    source: ImageSource,
    partition: Partition,
    *,
    images: int = 512,
    batch_size: int = 256,
    seed: int = 0,
) -> Tensor:
    """The denoising loss of each validation image on each range, float32 ``(rows, ranges)``.

    Images, noise and timesteps derive from ``seed`` alone, so rows are paired between models.

    Args:
        denoiser: any denoiser, the routed ensemble too.
        source: the images; the first ``images`` of a seeded permutation are used.
        partition: the ranges.
        images: how many rows (fewer where the source is smaller).
        batch_size: of the evaluation only; it does not change what is drawn.
        seed: of the permutation, the noise and the timesteps.

    """
    columns = []
    for timesteps in partition:
        losses = []
        batches = validation_batches(
            denoiser, source, timesteps, images=images, batch_size=batch_size, seed=seed
        )
        for batch in batches:
            output = denoiser.predict(batch.x_t, batch.t, batch.conditioning).float()
            losses.append((output - batch.target).square().flatten(1).mean(1).cpu())
        columns.append(torch.cat(losses))
    return torch.stack(columns, dim=1)
