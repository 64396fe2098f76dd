"""A denoiser of a few layers in float64, small enough to be measured by hand, and its samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deme.data import ImageSource
from deme.decouple import TimestepRange, TimestepSampler
from deme.decouple.draws import Drawer
from deme.denoisers import Conditioning, Denoiser, NoiseSchedule
from deme.denoisers.contract import Placement, ProjectionSite
from deme.merge.statistics import ExpertStatistics, collect_statistics
from deme.randomness import derive_seed

RANGE = TimestepRange(20, 60)


class TinyNetwork(nn.Module):
    """Grey 8×8 to grey 8×8, by way of 4 channels at 4×4."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, 4, 3, stride=2, padding=1)
        self.mix = nn.Linear(4, 4, bias=False)
        self.time = nn.Linear(2, 4)
        self.grouped = nn.Conv2d(4, 4, 3, padding=1, groups=2)
        self.dropout = nn.Dropout(0.5)
        self.up = nn.ConvTranspose2d(4, 1, 2, stride=2)
        self.unused = nn.Linear(3, 3)
        self.register_buffer("offset", torch.ones(4))
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        angle = t[:, None].to(x_t) / 100
        features = self.down(x_t).movedim(1, -1).flatten(1, 2)  # (B, 16, 4)
        features = self.mix(torch.tanh(features)) + self.offset
        features = features + self.time(torch.cat([angle.sin(), angle.cos()], 1))[:, None]
        features = features.unflatten(1, (4, 4)).movedim(-1, 1)
        return self.up(self.dropout(torch.tanh(self.grouped(features))))


class TinyDenoiser(Denoiser):
    """Predicts ε with a :class:`TinyNetwork`; keeps the timesteps that it saw."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.network = TinyNetwork().to(dtype).requires_grad_(False)
        alpha_bar = torch.linspace(0.99, 0.01, 100, dtype=torch.float64)
        self.schedule = NoiseSchedule.variance_preserving(alpha_bar)
        self.prediction = "epsilon"
        self.sample_shape = (1, 8, 8)
        self.resolution, self.image_channels, self.num_classes = 8, 1, None
        self.scheduler_config = {}
        self.name = f"tiny {seed}"
        self.seen: list[int] = []

    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        self.seen += t.tolist()
        return network(x_t, t)

    def condition(
        self, *, labels: Tensor | None = None, captions: Sequence[str] | None = None
    ) -> Conditioning:
        return {}

    def encode(self, images: Tensor) -> Tensor:
        return images.to(next(self.network.parameters()).dtype) / 127.5 - 1

    def decode(self, x_0: Tensor) -> Tensor:
        return ((x_0 / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)

    def projection_sites(self, placement: Placement) -> tuple[ProjectionSite, ...]:
        return ()

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def collect(
    denoiser: Denoiser, source: ImageSource, kind: Any, **settings: Any
) -> ExpertStatistics:
    """Statistics on ``RANGE``, of six samples at seed 3 if nothing else is said."""
    given = {"samples": 6, "seed": 3, **settings}
    return collect_statistics(denoiser, source, RANGE, kind=kind, **given)


def samples_of(
    denoiser: Denoiser, source: ImageSource, count: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """``x_t``, ``ε`` and ``t`` of each sample as training draws them at batch size 1, seed 3."""
    drawer = Drawer(
        source,
        TimestepSampler(RANGE, 100, p=0.0, antithetic=False),
        batch_size=1,
        accumulation=1,
        seed=derive_seed(3, "statistics"),
        rank=0,
        world=1,
    )
    found = []
    for sample in range(count):
        draw = drawer.draw(sample, 0)
        x_0 = denoiser.encode(draw.batch.images)
        noise = draw.noise((1, 8, 8)).to(x_0)
        alpha_bar = denoiser.schedule.alpha[draw.t].square().to(x_0)
        x_t = alpha_bar.sqrt() * x_0 + (1 - alpha_bar).sqrt() * noise
        found.append((x_t, noise, draw.t))
    return found
