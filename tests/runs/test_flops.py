"""Operations counted without computing, against a count by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deme.denoisers import load_denoiser
from deme.runs.flops import forward_flops, training_flops


def test_convolutions_and_linear_layers_are_two_operations_a_weight_and_place(
    tiny_pipeline: Callable[..., Path],
) -> None:
    plain = {
        "down_block_types": ("DownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "UpBlock2D"),
        "add_attention": False,
    }
    denoiser = load_denoiser(tiny_pipeline(**plain))
    counted = 0

    def count(module: nn.Conv2d | nn.Linear, inputs: Any, output: Tensor) -> None:
        nonlocal counted
        weights = module.weight.numel() // module.weight.shape[0]
        counted += 2 * weights * output.numel()

    layers = [m for m in denoiser.network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in layers:
        layer.register_forward_hook(count)
    with torch.no_grad():
        denoiser.predict(torch.zeros(1, 1, 8, 8), torch.zeros(1, dtype=torch.long), {})
    assert forward_flops(load_denoiser(tiny_pipeline(**plain))) == counted


def test_attention_and_classes_are_counted_too(tiny_pipeline: Callable[..., Path]) -> None:
    small = forward_flops(load_denoiser(tiny_pipeline(num_class_embeds=3)))
    large = forward_flops(load_denoiser(tiny_pipeline("large", sample_size=16, num_class_embeds=3)))
    # four times the places; attention between places grows sixteenfold
    assert 4 * small * 0.9 < large and large > 3.5 * small


def test_a_teacher_is_one_more_forward_pass() -> None:
    assert training_flops(10, 7) == 210
    assert training_flops(10, 7, teacher=True) == 280
