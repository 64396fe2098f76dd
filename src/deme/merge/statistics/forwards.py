"""Forward passes on drawn samples: the denoising loss at an expert's own timesteps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...randomness import derive_seed

if TYPE_CHECKING:  # training's libraries are needed only where statistics are collected
    from ...data import ImageSource
    from ...decouple import TimestepRange
    from ...decouple.draws import Draw
    from ...denoisers import Denoiser

Forward = Callable[[], Tensor]
"""Runs the network on some samples; gives the sum of their ``½‖target − output‖²``."""


def draw_forwards(
    denoiser: Denoiser,
    images: ImageSource,
    timesteps: TimestepRange,
    samples: int,
    batch_size: int,
    seed: int,
    progress: Callable[[int], None] | None,
) -> Generator[Forward, None, None]:
    """Forward passes on ``samples`` draws in batches, each draw from (seed, its number) alone.

    Timesteps are uniform over the range, images come in shuffled epochs, as in training.

    Args:
        denoiser: the expert.
        images: where its images come from.
        timesteps: the range.
        samples: how many in all.
        batch_size: how many in one pass.
        seed: what the draws derive from.
        progress: called after each batch with the number of finished samples.

    Raises:
        ConfigError: the range exceeds the model's timesteps.

    """
    from ...decouple import TimestepSampler
    from ...decouple.draws import Drawer

    total = denoiser.schedule.num_timesteps
    drawer = Drawer(
        images,
        TimestepSampler(timesteps, total, p=0.0, antithetic=False),
        batch_size=1,
        accumulation=1,
        seed=derive_seed(seed, "statistics"),
        rank=0,
        world=1,
    )
    for start in range(0, samples, batch_size):
        stop = min(start + batch_size, samples)
        draws = [drawer.draw(sample, 0) for sample in range(start, stop)]
        yield lambda draws=draws: _loss(denoiser, draws)
        if progress is not None:
            progress(stop)


def _loss(denoiser: Denoiser, draws: Sequence[Draw]) -> Tensor:
    from ...decouple import expert_loss

    batches = [draw.batch for draw in draws]
    labels = [batch.labels for batch in batches if batch.labels is not None]
    captions = [text for batch in batches for text in batch.captions or ()]
    x_0 = denoiser.encode(torch.cat([batch.images for batch in batches]))
    noise = torch.cat([draw.noise(denoiser.sample_shape) for draw in draws])
    loss = expert_loss(
        denoiser,
        denoiser.network,
        None,
        x_0=x_0,
        noise=noise.to(x_0),
        t=torch.cat([draw.t for draw in draws]).to(x_0.device),
        conditioning=denoiser.condition(
            labels=torch.cat(labels) if labels else None, captions=tuple(captions) or None
        ),
    )
    return loss.denoising * x_0.numel() / 2  # it is a mean over samples and elements
