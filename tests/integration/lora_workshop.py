"""A tiny base, three LoRA files that PEFT wrote for it, and images: what a user brings along."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import diffusers
import torch
from peft import LoraConfig
from PIL import Image
from torch import Tensor

from deme.runs import RunContext, RunSpec, RunStore
from deme.runs.progress import Reporter
from merge.sources.tiny_adapters import ATTENTION_LAYERS, peft_adapter

UNET: dict[str, Any] = {
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
RANGES = {"a": (0, 400), "b": (400, 800), "c": (800, 1000)}


@dataclass
class Workshop:
    """A base, three LoRA files that PEFT wrote, and a folder of images."""

    folder: Path
    merged: dict[str, dict[str, Tensor]]
    """The weights that PEFT itself merges each LoRA to."""

    @property
    def base(self) -> Path:
        return self.folder / "base"

    def lora(self, name: str) -> Path:
        return self.folder / f"{name}.safetensors"

    def words(self, **ranges: tuple[int, int]) -> list[str]:
        """What follows ``deme search``."""
        experts = [f"{self.lora(name)}={low}:{high}" for name, (low, high) in ranges.items()]
        options = [word for expert in experts for word in ("--expert", expert)]
        return ["search", str(self.base), *options, "--data", str(self.folder / "images")]


def make_workshop(folder: Path) -> Workshop:
    """Writes it all into a folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = diffusers.UNet2DModel(**UNET)
    diffusers.DDPMPipeline(unet=network, scheduler=diffusers.DDPMScheduler()).save_pretrained(
        folder / "base"
    )
    merged = {}
    for seed, name in enumerate(RANGES):
        config = LoraConfig(r=2, lora_alpha=2, target_modules=[*ATTENTION_LAYERS, "conv1"])
        merged[name] = peft_adapter(network, config, folder / f"peft-{name}", seed)
        written = folder / f"peft-{name}" / "adapter_model.safetensors"
        shutil.copy(written, folder / f"{name}.safetensors")
    draws = torch.Generator().manual_seed(0)
    (folder / "images").mkdir()
    for index in range(48):
        values = torch.randint(256, (8, 8), generator=draws, dtype=torch.uint8)
        Image.fromarray(values.numpy()).save(folder / "images" / f"{index:02d}.png")
    return Workshop(folder, merged)


def context_of(workshop: Workshop, output: Path, *experts: Mapping[str, object]) -> RunContext:
    values = {
        "model": str(workshop.base),
        "data": str(workshop.folder / "images"),
        "experts": list(experts),
    }
    spec = RunSpec.model_validate(values)
    return RunContext(spec, RunStore(output, spec), Reporter(quiet=True))
