"""Tiny pipelines and experts of them, on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from deme.denoisers import Denoiser, load_denoiser
from deme.merge import StateDict


@pytest.fixture
def make_pipeline(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "base", width: int = 8, half: bool = False) -> Path:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            network = UNet2DModel(
                sample_size=8,
                in_channels=1,
                out_channels=1,
                layers_per_block=1,
                block_out_channels=(width,),
                norm_num_groups=4,
                down_block_types=("DownBlock2D",),
                up_block_types=("UpBlock2D",),
                add_attention=False,
            )
        if half:
            network = network.half()
        DDPMPipeline(network, DDPMScheduler()).save_pretrained(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def base(make_pipeline: Callable[..., Path]) -> Denoiser:
    return load_denoiser(make_pipeline())


@pytest.fixture
def make_expert(base: Denoiser, tmp_path: Path) -> Callable[[str, int], Path]:
    """An expert's pipeline: the base with small random differences."""

    def make(name: str, seed: int) -> Path:
        draws = torch.Generator().manual_seed(seed)
        expert = base.clone()
        expert.load_weights(
            {
                key: tensor + 0.01 * torch.randn(tensor.shape, generator=draws)
                for key, tensor in base.weights().items()
            }
        )
        (tmp_path / name).mkdir()
        expert.save(tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def make_state() -> Callable[..., StateDict]:
    """Random weights of two tensors, no model."""

    def make(seed: int, scale: float = 1.0, dtype: torch.dtype = torch.float32) -> StateDict:
        draws = torch.Generator().manual_seed(seed)
        tensors = {
            "layer.weight": scale * torch.randn(64, 32, generator=draws),
            "layer.bias": scale * torch.randn(64, generator=draws),
        }
        return StateDict({k: v.to(dtype) for k, v in tensors.items()}, f"state {seed}")

    return make
