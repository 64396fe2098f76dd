"""The formulas of adapters, and what an adapter gives for one tensor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from deme.merge.sources.adapter_deltas import Scale, weight_delta
from deme.merge.sources.contract import DeltaSource, WeightSource
from deme.merge.sources.opening import open_expert, open_model
from merge.sources.conftest import Saved
from merge.sources.tiny_adapters import (
    kohya_adapter,
    peft_adapter,
)

MakeSaved = Callable[..., Saved]


def test_factors_in_half_precision_are_multiplied_in_float32(
    saved: MakeSaved, tmp_path: Path
) -> None:
    state = {n: t.half() for n, t in kohya_adapter("1", tmp_path / "full.safetensors").items()}
    save_file(state, tmp_path / "half.safetensors")
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    flat = f"lora_unet_{name.replace('.', '_')}"
    down, up = state[f"{flat}.lora_down.weight"], state[f"{flat}.lora_up.weight"]
    expected = 2.0 * (up.double() @ down.double())
    base = open_model(saved("1").folder)
    source = open_expert(tmp_path / "half.safetensors", base).components["unet"]
    assert isinstance(source, DeltaSource)
    own = base.components["unet"]
    assert isinstance(own, WeightSource)
    tau = source.read_delta(f"{name}.weight", own.read(f"{name}.weight"))
    assert torch.allclose(tau.double(), expected, rtol=1e-6, atol=1e-8)


def test_a_kernel_between_two_pointwise_factors() -> None:
    """LyCORIS' ``lora_mid``; by applying the three convolutions one after the other."""
    draws = torch.Generator().manual_seed(0)
    down = torch.randn(3, 5, 1, 1, generator=draws)
    mid = torch.randn(3, 3, 3, 3, generator=draws)
    up = torch.randn(7, 3, 1, 1, generator=draws)
    base = torch.zeros(7, 5, 3, 3)
    factors = {"down": down, "mid": mid, "up": up}
    tau = weight_delta(factors, base, Scale(alpha=6.0))
    x = torch.randn(2, 5, 6, 6, generator=draws)
    conv = torch.nn.functional.conv2d
    expected = 2.0 * conv(conv(conv(x, down), mid, padding=1), up)
    assert torch.allclose(conv(x, tau, padding=1), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", [(), (3, 3)])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_magnitude_is_of_outputs_or_of_inputs_by_its_shape(
    kernel: tuple[int, ...], axis: int
) -> None:
    """LyCORIS has both; the adapted weight then has the magnitude as its norm on that axis."""
    draws = torch.Generator().manual_seed(0)
    theta = torch.randn(6, 6, *kernel, generator=draws)
    factors = {
        "down": torch.randn(2, 6, *kernel, generator=draws),
        "up": torch.randn(6, 2, *[1] * len(kernel), generator=draws),
    }
    shape = [1] * theta.ndim
    shape[axis] = 6
    scale = torch.rand(shape, generator=draws) + 0.5
    tau = weight_delta({**factors, "dora_scale": scale}, theta, Scale())
    adapted = (theta + tau).transpose(0, axis).flatten(1)
    assert torch.allclose(adapted.norm(dim=1), scale.flatten(), rtol=1e-5)
    plain = (theta + weight_delta(factors, theta, Scale())).transpose(0, axis).flatten(1)
    assert torch.allclose(torch.cosine_similarity(adapted, plain), torch.ones(6), rtol=1e-5)


def test_whole_differences_are_taken_as_they_are(saved: MakeSaved, tmp_path: Path) -> None:
    """LyCORIS' ``diff``, which has no factors and no scale."""
    base = open_model(saved("1").folder)
    own = base.components["unet"]
    assert isinstance(own, WeightSource)
    shape = own.layout["conv_in.weight"].shape
    diff, bias = torch.randn(shape), torch.randn(shape[0])
    state = {"lora_unet_conv_in.diff": diff, "lora_unet_conv_in.diff_b": bias}
    state["lora_unet_conv_norm_out.w_norm"] = bias.clone()
    save_file(state, tmp_path / "full.safetensors")
    source = open_expert(tmp_path / "full.safetensors", base).components["unet"]
    assert isinstance(source, DeltaSource)
    assert sorted(source.layout) == ["conv_in.bias", "conv_in.weight", "conv_norm_out.weight"]
    tau = source.read_delta("conv_in.weight", own.read("conv_in.weight"))
    assert torch.equal(tau, diff)
    tau.zero_()  # it is the caller's own
    assert torch.equal(source.read_delta("conv_in.weight", own.read("conv_in.weight")), diff)
    assert torch.equal(source.read_delta("conv_in.bias", own.read("conv_in.bias")), bias)
    assert torch.equal(load_file(tmp_path / "full.safetensors")["lora_unet_conv_in.diff"], diff)


def test_a_whole_tensor_in_half_precision_is_compared_with_the_base_as_rounded(
    saved: MakeSaved, tmp_path: Path
) -> None:
    config = LoraConfig(r=2, modules_to_save=["conv_out"], target_modules=["to_q"])
    peft_adapter(saved("1").pipe.unet, config, tmp_path)
    state = load_file(tmp_path / "adapter_model.safetensors")
    base = open_model(saved("1").folder)
    own = base.components["unet"]
    assert isinstance(own, WeightSource)
    theta = own.read("conv_out.weight")
    state["base_model.model.conv_out.weight"] = theta.half()
    save_file(state, tmp_path / "adapter_model.safetensors")
    source = open_expert(tmp_path, base).components["unet"]
    assert isinstance(source, DeltaSource)
    assert not source.read_delta("conv_out.weight", theta).any()
