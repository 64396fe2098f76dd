"""What one micro-batch is made of: images, timesteps and noise, all derived from their place."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from ..data import Batch, ImageSource
from ..randomness import derive_seed, generator
from .timesteps import TimestepSampler


@dataclass(frozen=True)
class Draw:
    """One micro-batch, on the CPU: images uint8 ``(B, C, H, W)``, t ``(B,)``, the noise's seed."""

    batch: Batch
    t: Tensor
    noise_seed: int

    def noise(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal ``(B, *shape)``."""
        source = torch.Generator().manual_seed(self.noise_seed)
        return torch.randn((len(self.t), *shape), generator=source)


class EpochOrder:
    """Which image is at each position of an endless sequence of shuffled epochs."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._epoch = -1
        self._order: list[int] = []

    def indices(self, start: int, size: int) -> list[int]:
        """Image indices at positions ``[start, start + size)``."""
        found: list[int] = []
        for position in range(start, start + size):
            epoch, offset = divmod(position, self.count)
            if epoch != self._epoch:
                order = torch.randperm(self.count, generator=generator(self.seed, "epoch", epoch))
                self._epoch, self._order = epoch, order.tolist()
            found.append(self._order[offset])
        return found


class Drawer:
    """Makes the draws of one training, each from (seed, step, micro-batch, rank) alone.

    Args:
        source: the images.
        timesteps: how t is drawn.
        batch_size: of one micro-batch on one process.
        accumulation: micro-batches in one optimizer step.
        seed: the training's seed.
        rank: this process.
        world: how many processes.

    """

    def __init__(
        self,
        source: ImageSource,
        timesteps: TimestepSampler,
        *,
        batch_size: int,
        accumulation: int,
        seed: int,
        rank: int,
        world: int,
    ) -> None:
        self.source = source
        self.timesteps = timesteps
        self.batch_size = batch_size
        self.accumulation = accumulation
        self.seed = seed
        self.rank = rank
        self.world = world
        self._order = EpochOrder(len(source), seed)

    def draw(self, step: int, micro: int) -> Draw:
        """The micro-batch ``micro`` of optimizer step ``step`` on this rank."""
        position = (step * self.accumulation + micro) * self.world + self.rank
        indices = self._order.indices(position * self.batch_size, self.batch_size)
        place = (step, micro, self.rank)
        batch = self.source.batch(indices, augment=generator(self.seed, "augment", *place))
        t = self.timesteps.sample(self.batch_size, generator(self.seed, "timesteps", *place))
        return Draw(batch, t, derive_seed(self.seed, "noise", *place))

    def steps(self, first: int, last: int) -> Generator[list[Draw], None, None]:
        """The draws of optimizer steps ``[first, last)``, one step made ahead in a thread."""

        def make(step: int) -> list[Draw]:
            return [self.draw(step, micro) for micro in range(self.accumulation)]

        with ThreadPoolExecutor(max_workers=1) as pool:
            ahead: Future[list[Draw]] | None = None
            for step in range(first, last):
                current = ahead.result() if ahead else make(step)
                ahead = pool.submit(make, step + 1) if step + 1 < last else None
                yield current
