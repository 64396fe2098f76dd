"""The denoising loss on held-out images as an objective."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...data import ImageSource
from ...decouple import Partition, TimestepRange
from ...denoisers import Denoiser
from ...errors import ConfigError, DataError
from ...randomness import generator, noise_like_image
from ..evaluation import Tables
from .linear import LinearObjective
from .rows import table_named

LOSS_TABLE = "loss"


class LossObjective(LinearObjective):
    """The mean over ranges of the mean denoising loss over validation images.

    Its table has a row for each validation image and a column for each range, as
    :func:`validation_table` makes it.

    Args:
        ranges: how much each range counts, of any scale; None: all alike.

    Raises:
        ConfigError: a weight is negative or not finite, or all are zero.

    """

    name = "loss"
    reads = (LOSS_TABLE,)

    def __init__(self, ranges: Sequence[float] | None = None) -> None:
        self.shares = None if ranges is None else torch.tensor(ranges, dtype=torch.float64)
        if self.shares is not None:
            total = self.shares.sum()
            if not (total.isfinite() and total > 0 and (self.shares >= 0).all()):
                raise ConfigError(
                    f"{list(ranges or ())} are no weights of ranges",
                    fix="give finite weights of at least 0, not all of them 0",
                )
            self.shares = self.shares / total

    def row_values(self, tables: Tables) -> Tensor:
        """The mean over ranges of each image's loss.

        Raises:
            DataError: the table has not one column for each weight.

        """
        losses = table_named(tables, LOSS_TABLE)
        if self.shares is None:
            return losses.mean(1)
        if len(self.shares) != losses.shape[1]:
            raise DataError(
                f"There are {losses.shape[1]} ranges and {len(self.shares)} weights of them"
            )
        return losses @ self.shares


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

    The images, noise and timesteps are those of :func:`~deme.decouple.validation_losses`, whose
    numbers are the means of these columns. They derive from ``seed`` alone, so rows are paired
    between models.

    Args:
        denoiser: any denoiser.
        source: the images; the first ``images`` of a seeded permutation are used.
        partition: the ranges.
        images: how many rows (fewer where the source is smaller).
        batch_size: of the evaluation only; it does not change what is drawn.
        seed: of the permutation, the noise and the timesteps.

    """
    order = torch.randperm(len(source), generator=generator(seed, "validation"))
    indices = order[: min(images, len(source))].tolist()
    columns = [_losses(denoiser, source, item, indices, batch_size, seed) for item in partition]
    return torch.stack(columns, dim=1)


@torch.no_grad()
def _losses(
    denoiser: Denoiser,
    source: ImageSource,
    timesteps: TimestepRange,
    indices: list[int],
    batch_size: int,
    seed: int,
) -> Tensor:
    purpose = f"validation noise {timesteps}"
    spread = torch.linspace(timesteps.low, timesteps.high - 1, len(indices)).round().long()
    spread = spread[torch.randperm(len(indices), generator=generator(seed, purpose))]
    losses = []
    for start in range(0, len(indices), batch_size):
        part = indices[start : start + batch_size]
        batch = source.batch(part)
        x_0 = denoiser.encode(batch.images)
        shape = tuple(x_0.shape[1:])
        draws = [noise_like_image(seed, index, shape, purpose) for index in part]
        noise = torch.stack(draws).to(x_0.device)
        t = spread[start : start + batch_size].to(x_0.device)
        conditioning = denoiser.condition(labels=batch.labels, captions=batch.captions)
        x_t = denoiser.schedule.add_noise(x_0, noise, t)
        target = denoiser.schedule.target(denoiser.prediction, x_0, noise, t)
        output = denoiser.predict(x_t, t, conditioning).float()
        losses.append((output - target).square().flatten(1).mean(1).cpu())
    return torch.cat(losses)
