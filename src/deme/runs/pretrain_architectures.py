"""Architectures by name, to pretrain from random weights: configurations of ``UNet2DModel``."""

from __future__ import annotations

from typing import Any

from ..denoisers.architectures import ARCHITECTURES

HEAD_DIMENSION = 32
"""Channels of an attention head where the width is a multiple of it; else there is one head."""


def _unet(
    size: int, channels: int, widths: list[int], *, attention_at: int, layers: int
) -> dict[str, Any]:
    """A DDPM U-Net with self-attention at one level of the widths, and in the middle."""
    width = widths[attention_at]
    down = ["DownBlock2D"] * len(widths)
    down[attention_at] = "AttnDownBlock2D"
    return {
        "_class_name": "UNet2DModel",
        "sample_size": size,
        "in_channels": channels,
        "out_channels": channels,
        "layers_per_block": layers,
        "block_out_channels": widths,
        "down_block_types": down,
        "up_block_types": [name.replace("Down", "Up") for name in reversed(down)],
        "attention_head_dim": width if width % HEAD_DIMENSION else HEAD_DIMENSION,
        "norm_num_groups": 8,
        "norm_eps": 1e-06,
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
    }


SHIPPED: dict[str, dict[str, Any]] = {
    "ddpm-cifar10-32": ARCHITECTURES["google/ddpm-cifar10-32"],
    "ddpm-small-32": _unet(32, 3, [64, 128, 128], attention_at=1, layers=2),
    "ddpm-tiny-32": _unet(32, 3, [24, 48, 48], attention_at=2, layers=1),
    "ddpm-tiny-28": _unet(28, 1, [16, 32, 32], attention_at=2, layers=1),
    "ddpm-tiny-16": _unet(16, 1, [16, 32, 32], attention_at=2, layers=1),
}
"""``ddpm-cifar10-32`` is the paper's, 35.7 M parameters; ``small`` is for a GPU and a short time,
``tiny`` for a CPU. 32 is for RGB images, 28 and 16 for grey ones; other channels are a change of
``in_channels`` and ``out_channels``."""
