"""Configurations of well-known pipelines, to build them where their weights cannot be had.

Facts only: what the hub's ``config.json`` files say, so that a recipe can be tried, timed and
tested at its real size with random weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..files import atomic_path

_SCHEDULER = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "clip_sample": True,
    "variance_type": "fixed_small",
}
_OTHER_VARIANCE = {"google/ddpm-cifar10-32": "fixed_large"}


def _unet(sample_size: int, widths: list[int], attention_at: int) -> dict[str, Any]:
    """A DDPM U-Net with self-attention at one level of the widths."""
    levels = len(widths)
    down = ["AttnDownBlock2D" if i == attention_at else "DownBlock2D" for i in range(levels)]
    up = [name.replace("Down", "Up") for name in reversed(down)]
    return {
        "_class_name": "UNet2DModel",
        "act_fn": "silu",
        "attention_head_dim": None,
        "block_out_channels": widths,
        "center_input_sample": False,
        "down_block_types": down,
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "in_channels": 3,
        "layers_per_block": 2,
        "mid_block_scale_factor": 1,
        "norm_eps": 1e-06,
        "norm_num_groups": 32,
        "out_channels": 3,
        "sample_size": sample_size,
        "time_embedding_type": "positional",
        "up_block_types": up,
    }


_LARGE = [128, 128, 256, 256, 512, 512]
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "google/ddpm-cifar10-32": _unet(32, [128, 256, 256, 256], attention_at=1),
    "google/ddpm-ema-church-256": _unet(256, _LARGE, attention_at=4),
    "google/ddpm-ema-bedroom-256": _unet(256, _LARGE, attention_at=4),
}


def write_architecture(name: str, parent: Path) -> Path:
    """Writes the pipeline folder of a known architecture, without weights.

    Raises:
        ModelError: the name is not a known architecture.

    """
    if name not in ARCHITECTURES:
        raise ModelError(
            f"No configuration of {name!r} is bundled, so it cannot be built with random weights",
            choices=ARCHITECTURES,
            given=name,
            fix="give a local folder with model_index.json and unet/config.json",
        )
    folder = parent / f"{name.replace('/', '--')}-random"
    scheduler = dict(_SCHEDULER)
    scheduler["variance_type"] = _OTHER_VARIANCE.get(name, scheduler["variance_type"])
    index = {
        "_class_name": "DDPMPipeline",
        "scheduler": ["diffusers", "DDPMScheduler"],
        "unet": ["diffusers", "UNet2DModel"],
    }
    files = {
        "model_index.json": index,
        "unet/config.json": ARCHITECTURES[name],
        "scheduler/scheduler_config.json": scheduler,
    }
    texts = {name: json.dumps(content, indent=2) + "\n" for name, content in files.items()}
    if all(_holds(folder / relative, text) for relative, text in texts.items()):
        return folder  # another process may be reading it
    with atomic_path(folder) as partial:
        for relative, text in texts.items():
            path = partial / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
    return folder


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text("utf-8") == text
