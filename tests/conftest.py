"""Tiny pipelines and images, for the tests of every room."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deme.data import MemorySource

TINY_UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "attention_head_dim": 8,
    "norm_num_groups": 4,
}


Deme = Callable[..., tuple[int, str, str]]


@pytest.fixture
def deme(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Deme:
    """Runs the command line in this process: exit code, stdout, stderr."""

    def call(*words: str | Path) -> tuple[int, str, str]:
        from deme.cli import main

        monkeypatch.setattr(sys, "argv", ["deme", *map(str, words)])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def tiny_pipeline(tmp_path: Path) -> Callable[..., Path]:
    """Writes a DDPM or DDIM pipeline of random weights as diffusers does.

    ``tiny_pipeline(name, scheduler, scheduler_config, seed, **config)``: ``config`` overrides that
    of the small U-Net.
    """

    def write(
        name: str = "pipeline",
        scheduler: str = "DDPMScheduler",
        scheduler_config: dict[str, Any] | None = None,
        seed: int = 0,
        **config: Any,
    ) -> Path:
        import diffusers
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = diffusers.UNet2DModel(**{**TINY_UNET, **config})
        steps = getattr(diffusers, scheduler)(**(scheduler_config or {}))
        kind = diffusers.DDIMPipeline if scheduler == "DDIMScheduler" else diffusers.DDPMPipeline
        kind(unet=network, scheduler=steps).save_pretrained(tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def tiny_source() -> Callable[..., MemorySource]:
    """Grey pictures of smooth shapes: ``tiny_source(count, channels, resolution, classes)``."""

    def make(
        count: int = 24, channels: int = 1, resolution: int = 8, classes: int | None = None
    ) -> MemorySource:
        import torch

        draws = torch.Generator().manual_seed(0)
        coarse = torch.rand((count, channels, 3, 3), generator=draws)
        smooth = torch.nn.functional.interpolate(coarse, size=resolution, mode="bilinear")
        labels = None if classes is None else torch.arange(count) % classes
        return MemorySource.from_images((smooth * 255).round().to(torch.uint8), labels)

    return make
