"""Well-known models at random weights, and the bundled one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel

from deme.denoisers import ModelConfig, load_denoiser
from deme.denoisers.architectures import ARCHITECTURES, write_architecture
from deme.errors import ModelError

PUBLISHED_PARAMETERS = {
    "google/ddpm-cifar10-32": 35_746_307,
    "google/ddpm-ema-church-256": 113_673_219,
    "google/ddpm-ema-bedroom-256": 113_673_219,
}
"""As METHOD and the paper say, 35.75M and 113.67M."""


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_parameter_counts_are_the_published_ones(name: str, tmp_path: Path) -> None:
    folder = write_architecture(name, tmp_path)
    config: Any = UNet2DModel.load_config(str(folder / "unet"))
    with torch.device("meta"):
        network = UNet2DModel.from_config(config)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED_PARAMETERS[name]  # type: ignore[union-attr]


def test_random_weights_repeat_and_leave_the_generator_alone(tmp_path: Path) -> None:
    config = ModelConfig(path="google/ddpm-cifar10-32", random_weights=True)
    before = torch.random.get_rng_state()
    first = load_denoiser(config, cache_folder=tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.sample_shape == (3, 32, 32)
    assert first.scheduler_config["variance_type"] == "fixed_large"
    written = tmp_path / "google--ddpm-cifar10-32-random" / "model_index.json"
    inode = os.stat(written).st_ino
    again = load_denoiser(config, cache_folder=tmp_path)
    assert os.stat(written).st_ino == inode  # not rewritten under another process
    theirs, ours = again.weights(), first.weights()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


def test_an_unknown_architecture_suggests_the_nearest(tmp_path: Path) -> None:
    config = ModelConfig(path="google/ddpm-cifar10", random_weights=True)
    with pytest.raises(ModelError, match=r"Did you mean 'google/ddpm-cifar10-32'\?"):
        load_denoiser(config, cache_folder=tmp_path)
