"""Tiny pipelines of each kind of prediction, and a denoiser whose data are a known Gaussian."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torch import Tensor, nn

from deme.denoisers import Conditioning, Denoiser, load_denoiser
from deme.denoisers.contract import Placement, ProjectionSite
from deme.denoisers.schedule import NoiseSchedule


class GaussianDenoiser(Denoiser):
    """The exact ``E[ε | x_t]`` of data ``x_0 ~ N(mean, deviation²)``, elementwise.

    With ``x_t = α x_0 + σ ε`` it is ``σ (x_t − α·mean) / (α²·deviation² + σ²)``. One ``x_t`` is a
    vector, not an image.
    """

    def __init__(self, mean: float, deviation: float, dimensions: int) -> None:
        scheduler = DDPMScheduler(clip_sample=False)
        self.mean, self.deviation = mean, deviation
        self.network = nn.Linear(1, 1)
        self.schedule = NoiseSchedule.variance_preserving(scheduler.alphas_cumprod)
        self.prediction = "epsilon"
        self.sample_shape = (dimensions,)
        self.resolution = self.image_channels = 1
        self.num_classes = None
        self.scheduler_config = dict(cast(Mapping[str, Any], scheduler.config))
        self.name = "gaussian"

    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        alpha, sigma = self.schedule.coefficients(t, x_t)
        variance = alpha**2 * self.deviation**2 + sigma**2
        return sigma * (x_t - alpha * self.mean) / variance

    def flow(self, x_t: Tensor) -> Tensor:
        """Where the probability flow from ``x_T`` ends: it keeps each point's standard score."""
        alpha, sigma = float(self.schedule.alpha[-1]), float(self.schedule.sigma[-1])
        score = (x_t - alpha * self.mean) / (alpha**2 * self.deviation**2 + sigma**2) ** 0.5
        return self.mean + self.deviation * score

    def condition(
        self, *, labels: Tensor | None = None, captions: Sequence[str] | None = None
    ) -> Conditioning:
        return {}

    def encode(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, x_0: Tensor) -> Tensor:
        raise NotImplementedError

    def projection_sites(self, placement: Placement) -> tuple[ProjectionSite, ...]:
        return ()

    def save(self, folder: Path) -> None:
        raise NotImplementedError


@pytest.fixture
def gaussian() -> Callable[..., GaussianDenoiser]:
    return GaussianDenoiser


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Callable[..., Path]:
    def make(
        prediction: Literal["epsilon", "sample", "v_prediction"] = "v_prediction",
        classes: int | None = None,
        channels: int = 1,
    ) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = UNet2DModel(
                sample_size=8,
                in_channels=channels,
                out_channels=channels,
                layers_per_block=1,
                block_out_channels=(8,),
                norm_num_groups=4,
                down_block_types=("DownBlock2D",),
                up_block_types=("UpBlock2D",),
                add_attention=False,
                num_class_embeds=classes,
            )
        scheduler = DDPMScheduler(prediction_type=prediction, beta_schedule="squaredcos_cap_v2")
        folder = tmp_path / f"{prediction}-{classes}-{channels}"
        DDPMPipeline(network, scheduler).save_pretrained(folder)
        return folder

    return make


@pytest.fixture
def denoiser(make_pipeline: Callable[..., Path]) -> Denoiser:
    return load_denoiser(make_pipeline())
