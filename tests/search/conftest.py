"""A denoiser of one layer and experts of it: enough for the search, and instant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from diffusers import DDIMScheduler
from torch import Tensor, nn

from deme.denoisers import Conditioning, Denoiser
from deme.denoisers.contract import Placement, ProjectionSite
from deme.denoisers.schedule import NoiseSchedule
from deme.generate import ImageRequest, SamplerConfig
from deme.merge import InPlaceMerger, StateDict, TaskVector
from deme.metrics import Detector
from deme.search import MergeEvaluator, MergeSpace


class OneLayerDenoiser(Denoiser):
    """Predicts the noise by one convolution."""

    def __init__(self) -> None:
        scheduler = DDIMScheduler(clip_sample=False)
        self.network = nn.Conv2d(1, 1, 3, padding=1).requires_grad_(False)
        draws = torch.Generator().manual_seed(0)
        for parameter in self.network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draws))
        self.schedule = NoiseSchedule.variance_preserving(scheduler.alphas_cumprod)
        self.prediction = "v"
        self.sample_shape = (1, 4, 4)
        self.resolution, self.image_channels, self.num_classes = 4, 1, None
        self.scheduler_config = {**cast(Any, scheduler.config), "prediction_type": "v_prediction"}
        self.name = "one layer"

    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        return network(x_t)

    def condition(
        self, *, labels: Tensor | None = None, captions: Sequence[str] | None = None
    ) -> Conditioning:
        return {}

    def encode(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, x_0: Tensor) -> Tensor:
        return ((x_0 / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8)

    def projection_sites(self, placement: Placement) -> tuple[ProjectionSite, ...]:
        return ()

    def save(self, folder: Path) -> None:
        raise NotImplementedError


class Pixels(nn.Module):
    """Features that are the pixels."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1).float() / 255


@pytest.fixture
def make_evaluator() -> Callable[..., MergeEvaluator]:
    def make(
        images: int = 10,
        batch_size: int = 4,
        losses: Callable[[Denoiser], Tensor] | None = None,
    ) -> MergeEvaluator:
        denoiser = OneLayerDenoiser()
        base = StateDict({k: v.clone() for k, v in denoiser.weights().items()}, "base")
        draws = torch.Generator().manual_seed(1)
        vectors = [
            TaskVector(
                {k: 0.2 * torch.randn(v.shape, generator=draws) for k, v in base.items()}, name
            )
            for name in ("e1", "e2")
        ]
        sampler = SamplerConfig(sampler_steps=4, sample_batch_size=batch_size)
        detector = Detector(Pixels(), name="pixels", digest="0", dimensions=16)
        return MergeEvaluator(
            MergeSpace(("e1", "e2"), (-1.0, 2.0)),
            InPlaceMerger(denoiser, base, vectors),
            ImageRequest(sampler, seed=1000, count=images),
            {"pixels": detector.features},
            losses,
        )

    return make
