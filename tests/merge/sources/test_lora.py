"""The same low-rank change in every form it is passed around in, against who defined the form."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig
from safetensors.torch import save_file

from deme.merge.sources.contract import WeightSource
from deme.merge.sources.opening import open_expert, open_model
from merge.sources.conftest import Saved
from merge.sources.tiny_adapters import (
    assert_close,
    components_of,
    diffusers_adapter,
    fused_by_diffusers,
    kohya_adapter,
    lora_states,
    merged,
    older_diffusers_adapter,
    peft_adapter,
)
from merge.sources.tiny_models import State, state_of

MakeSaved = Callable[..., Saved]
Fused = Callable[[str], dict[str, State]]
LAYERS = ["to_q", "to_out.0", "conv1", "proj_in", "time_emb_proj", "conv_in"]
CONFIGS: dict[str, Any] = {
    "plain": LoraConfig(r=4, lora_alpha=8, target_modules=LAYERS),
    "ranks and alphas by pattern": LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=LAYERS,
        rank_pattern={"to_q": 2, r"mid_block.*\.conv1": 3},
        alpha_pattern={"to_q": 1, "conv1": 16},
    ),
    "rank-stabilised": LoraConfig(r=4, lora_alpha=8, use_rslora=True, target_modules=LAYERS),
    "weight-decomposed": LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules=LAYERS),
    "all biases": LoraConfig(r=4, lora_alpha=8, bias="all", target_modules=LAYERS),
    "its biases": LoraConfig(r=4, lora_alpha=8, bias="lora_only", target_modules=LAYERS),
    "biases of its own": LoraConfig(r=4, lora_alpha=8, lora_bias=True, target_modules=LAYERS[1:3]),
    "whole modules": LoraConfig(
        r=4, lora_alpha=8, modules_to_save=["conv_out"], target_modules=LAYERS
    ),
    "LoHa": LoHaConfig(r=4, alpha=8, target_modules=LAYERS),
    "LoHa of kernels": LoHaConfig(
        r=4, alpha=8, use_effective_conv2d=True, target_modules=["to_q", "conv1"]
    ),
    "LoKr": LoKrConfig(r=2, alpha=8, target_modules=["to_q", "conv1"]),
    "LoKr of kernels": LoKrConfig(
        r=2,
        alpha=8,
        use_effective_conv2d=True,
        decompose_both=True,
        target_modules=["to_q", "to_k", "conv1"],
    ),
    "LoKr without decomposition": LoKrConfig(r=64, alpha=8, target_modules=["to_q", "conv1"]),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_adapter_of_peft_merges_to_what_peft_merges_it_to(
    saved: MakeSaved, tmp_path: Path, kind: str
) -> None:
    expected = peft_adapter(saved("1").pipe.unet, CONFIGS[kind], tmp_path / "adapter")
    base = open_model(saved("1").folder)
    expert = open_expert(tmp_path / "adapter", base)
    assert (expert.form, list(expert.components)) == ("adapter", ["unet"])
    found = merged(base, expert, "unet")
    assert_close(found, expected)
    changed = [
        n for n, t in state_of(saved("1").pipe.unet).items() if not torch.equal(t, expected[n])
    ]
    assert set(changed) <= set(expert.components["unet"].layout)
    assert changed


@pytest.fixture(scope="module")
def fused(tmp_path_factory: pytest.TempPathFactory) -> Fused:
    """The dense expert: what diffusers fuses of its own file."""

    @functools.cache
    def make(family: str) -> dict[str, State]:
        folder = tmp_path_factory.mktemp("fused")
        diffusers_adapter(family, folder)
        return fused_by_diffusers(family, folder)

    return make


@pytest.mark.parametrize("family", ["1", "xl"])
@pytest.mark.parametrize("age", ["today", "2023"])
def test_an_adapter_of_diffusers_merges_to_what_diffusers_fuses(
    saved: MakeSaved, fused: Fused, tmp_path: Path, family: str, age: str
) -> None:
    if age == "today":
        diffusers_adapter(family, tmp_path)
        expected = fused(family)
    else:
        older_diffusers_adapter(family, tmp_path)
        expected = fused_by_diffusers(family, tmp_path)
    base = open_model(saved(family).folder)
    expert = open_expert(tmp_path, base)
    assert list(expert.components) == sorted(components_of(family))
    for component, state in expected.items():
        assert_close(merged(base, expert, component), state)


@pytest.mark.parametrize(("family", "original"), [("1", False), ("xl", True), ("xl", False)])
def test_peft_kohya_and_the_dense_expert_are_one_change(
    saved: MakeSaved, fused: Fused, tmp_path: Path, family: str, original: bool
) -> None:
    """Point 5 of the issue; diffusers' fusion of its own file is the dense expert."""
    dense = fused(family)
    kohya_adapter(family, tmp_path / "kohya.safetensors", original)
    base = open_model(saved(family).folder)
    expert = open_expert(tmp_path / "kohya.safetensors", base)
    for component, state in dense.items():
        assert_close(merged(base, expert, component), state)


@pytest.mark.parametrize("family", ["1", "2", "xl"])
@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_an_adapter_on_a_single_file_is_the_dense_expert_in_its_names(
    saved: MakeSaved, tmp_path: Path, family: str, form: str
) -> None:
    path = tmp_path / "adapter.safetensors"
    if form == "kohya":
        kohya_adapter(family, path)
    else:
        diffusers_adapter(family, tmp_path)
        path = tmp_path
    pipe, base = open_model(saved(family).folder), open_model(saved(family).file)
    dense = open_expert(path, pipe)
    for component in components_of(family):
        save_file(merged(pipe, dense, component), tmp_path / f"{component}.safetensors")
        expert = open_expert(tmp_path / f"{component}.safetensors", base).components[component]
        assert isinstance(expert, WeightSource)
        state = {name: expert.read(name) for name in expert.layout}
        assert_close(merged(base, open_expert(path, base), component), state)


def test_names_of_2023_find_their_modules(saved: MakeSaved, tmp_path: Path) -> None:
    """Attention processors held the factors then, and text encoders used the U-Net's words."""
    _, states = lora_states("1", ("to_q", "to_out.0"))
    older: dict[str, torch.Tensor] = {}
    for name, tensor in states["unet"].items():
        module, _, factor = name.partition(".lora_")
        parent, _, layer = module.removesuffix(".0").rpartition(".")
        role = "down" if factor[0] == "A" else "up"
        older[f"unet.{parent}.processor.{layer}_lora.{role}.weight"] = tensor
        older[f"unet.{parent}.processor.{layer}_lora.alpha"] = torch.tensor(8.0)
    words = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
    for name, tensor in states["text_encoder"].items():
        module, _, factor = name.partition(".lora_")
        parent, _, layer = module.rpartition(".")
        if layer in words:
            role = "down" if factor[0] == "A" else "up"
            key = f"text_encoder.text_model.{parent}.{words[layer]}_lora"
            older[f"{key}.{role}.weight"] = tensor
    save_file(older, tmp_path / "old.safetensors")
    base = open_model(saved("1").folder)
    expert = open_expert(tmp_path / "old.safetensors", base)
    now = {f"unet.{n}": t for n, t in states["unet"].items()}
    now |= {f"unet.{n.partition('.lora_')[0]}.alpha": torch.tensor(8.0) for n in states["unet"]}
    now |= {f"text_encoder.{n}": t for n, t in states["text_encoder"].items() if ".mlp." not in n}
    save_file(now, tmp_path / "now.safetensors")
    expected = open_expert(tmp_path / "now.safetensors", base)
    for component in ("unet", "text_encoder"):
        assert expert.components[component].layout == expected.components[component].layout
        assert_close(merged(base, expert, component), merged(base, expected, component), 0.0)


def test_adapters_of_several_components_in_folders_of_their_names(
    saved: MakeSaved, tmp_path: Path
) -> None:
    pipe = saved("xl").pipe
    text = LoraConfig(r=2, target_modules=["q_proj"])
    expected = {
        "unet": peft_adapter(pipe.unet, CONFIGS["plain"], tmp_path / "unet"),
        "text_encoder": peft_adapter(pipe.text_encoder, text, tmp_path / "text_encoder"),
        "text_encoder_2": peft_adapter(pipe.text_encoder_2, text, tmp_path / "text_encoder_2"),
    }
    base = open_model(saved("xl").folder)
    expert = open_expert(tmp_path, base)
    assert sorted(expert.components) == sorted(expected)
    for component, state in expected.items():
        assert_close(merged(base, expert, component), state)
    source = expert.components["unet"]
    assert sorted(path.name for path in source.files) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_an_adapter_of_the_unet_alone_is_placed_by_its_modules(
    saved: MakeSaved, tmp_path: Path
) -> None:
    peft_adapter(saved("xl").pipe.text_encoder_2, LoraConfig(target_modules=["q_proj"]), tmp_path)
    base = open_model(saved("xl").folder)
    assert list(open_expert(tmp_path, base).components) == ["text_encoder_2"]
    assert list(open_expert(tmp_path / "adapter_model.safetensors", base).components) == [
        "text_encoder_2"
    ]


def test_an_embedding_is_adapted_too(saved: MakeSaved, tmp_path: Path) -> None:
    network = saved("1").pipe.text_encoder
    config = LoraConfig(r=2, lora_alpha=6, target_modules=["token_embedding", "q_proj"])
    expected = peft_adapter(network, config, tmp_path)
    base = open_model(saved("1").folder)
    expert = open_expert(tmp_path, base)
    assert "embeddings.token_embedding.weight" in expert.components["text_encoder"].layout
    assert_close(merged(base, expert, "text_encoder"), expected)


def test_on_a_base_of_one_component_the_others_are_not_meant(
    saved: MakeSaved, tmp_path: Path
) -> None:
    kohya_adapter("1", tmp_path / "both.safetensors")
    expert = open_expert(tmp_path / "both.safetensors", open_model(saved("1").folder / "unet"))
    assert list(expert.components) == ["unet"]
