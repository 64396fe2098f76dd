from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from deme.errors import MismatchError, ModelError, StorageError
from deme.merge.sources.adapter_names import is_adapter, role_of
from deme.merge.sources.opening import open_expert, open_model
from merge.sources.conftest import Saved
from merge.sources.tiny_adapters import kohya_adapter, peft_adapter
from merge.sources.tiny_models import state_of

MakeSaved = Callable[..., Saved]
NAME = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def factors(rank: int = 2, out: int = 16, inside: int = 16) -> dict[str, torch.Tensor]:
    return {
        f"{NAME}.lora_down.weight": torch.ones(rank, inside),
        f"{NAME}.lora_up.weight": torch.ones(out, rank),
    }


@pytest.mark.parametrize(
    ("trained", "base", "made_for", "looks"),
    [
        ("xl", "1", "Stable Diffusion XL", "Stable Diffusion 1.x"),
        ("1", "xl", "Stable Diffusion 1.x", "Stable Diffusion XL"),
        ("2", "1", "Stable Diffusion 2.x", "Stable Diffusion 1.x"),
    ],
)
def test_a_lora_of_another_base_is_refused_with_its_family(
    saved: MakeSaved, tmp_path: Path, trained: str, base: str, made_for: str, looks: str
) -> None:
    kohya_adapter(trained, tmp_path / "lora.safetensors")
    with pytest.raises(MismatchError) as raised:
        open_expert(tmp_path / "lora.safetensors", open_model(saved(base).folder))
    message = str(raised.value)
    assert re.search(
        r"not in its \w+ or have another shape there:\n  'lora_|which .* not have", message
    )
    assert f"It looks made for {made_for}; the base looks like a U-Net of {looks}." in message
    assert "Fix: give an adapter that was trained for this very base." in message


def test_what_kohya_noted_of_the_base_is_said(saved: MakeSaved, tmp_path: Path) -> None:
    state = kohya_adapter("xl", tmp_path / "lora.safetensors")
    save_file(state, tmp_path / "lora.safetensors", {"ss_base_model_version": "sdxl_base_v1-0"})
    with pytest.raises(MismatchError, match=r"\(its metadata says 'sdxl_base_v1-0'\)"):
        open_expert(tmp_path / "lora.safetensors", open_model(saved("1").folder))


def test_a_lora_of_another_kind_of_model_is_refused(saved: MakeSaved, tmp_path: Path) -> None:
    state = {
        f"lora_unet_double_blocks_0_img_attn_qkv.lora_{part}.weight": torch.ones(4, 4)
        for part in ("down", "up")
    }
    save_file(state, tmp_path / "flux.safetensors")
    with pytest.raises(MismatchError, match="no such module\nIt looks made for Flux; the base"):
        open_expert(tmp_path / "flux.safetensors", open_model(saved("1").folder))


def test_one_module_that_is_unknown_refuses_the_whole(saved: MakeSaved, tmp_path: Path) -> None:
    state = kohya_adapter("1", tmp_path / "lora.safetensors")
    state["lora_unet_extra.lora_down.weight"] = torch.ones(2, 2)
    state["lora_unet_extra.lora_up.weight"] = torch.ones(2, 2)
    save_file(state, tmp_path / "lora.safetensors")
    with pytest.raises(MismatchError, match=r"1 of \d+ modules .*\n  'lora_unet_extra': no such"):
        open_expert(tmp_path / "lora.safetensors", open_model(saved("1").folder))


@pytest.mark.parametrize(
    ("state", "problem"),
    [
        (factors(out=8), r"its product is \(8, 16\), the weight \(16, 16\)"),
        (factors(inside=8), r"its product is \(16, 8\), the weight \(16, 16\)"),
        ({**factors(), f"{NAME}.lora_up.weight": torch.ones(16, 3)}, "its factors do not fit"),
        ({f"{NAME}.lora_up.weight": torch.ones(16, 3)}, "it holds up alone"),
        ({**factors(), f"{NAME}.dora_scale": torch.ones(1, 5)}, r"its magnitude is \(1, 5\)"),
        ({**factors(), f"{NAME}.diff_b": torch.ones(16)}, "its bias does not fit"),
    ],
)
def test_factors_that_do_not_fit_are_told_when_it_is_opened(
    saved: MakeSaved, tmp_path: Path, state: dict[str, torch.Tensor], problem: str
) -> None:
    save_file(state, tmp_path / "lora.safetensors")
    with pytest.raises(MismatchError, match=problem):
        open_expert(tmp_path / "lora.safetensors", open_model(saved("1").folder))


def test_a_component_that_the_base_lacks_is_named(saved: MakeSaved, tmp_path: Path) -> None:
    state = {n.replace("lora_unet_", "lora_te2_"): t for n, t in factors().items()}
    save_file({**factors(), **state}, tmp_path / "lora.safetensors")
    with pytest.raises(MismatchError, match=r"is for the text_encoder_2, which .* does not have"):
        open_expert(tmp_path / "lora.safetensors", open_model(saved("1").folder))


def test_an_adapter_that_fits_two_components_needs_a_folder_that_says_which(
    saved: MakeSaved, tmp_path: Path
) -> None:
    folder = tmp_path / "base"
    for name in ("text_encoder", "text_encoder_2"):
        saved("1").pipe.text_encoder.save_pretrained(folder / name)
    index = {name: ["transformers", "CLIPTextModel"] for name in ("text_encoder", "text_encoder_2")}
    (folder / "model_index.json").write_text(json.dumps(index))
    base = open_model(folder)
    network = saved("1").pipe.text_encoder
    peft_adapter(network, LoraConfig(target_modules=["q_proj"]), tmp_path / "mine")
    with pytest.raises(MismatchError, match=r"fits several of .*Choices: text_encoder, text_enc"):
        open_expert(tmp_path / "mine", base)
    (tmp_path / "mine").rename(tmp_path / "text_encoder_2")
    for path in ("text_encoder_2", "text_encoder_2/adapter_model.safetensors"):
        assert list(open_expert(tmp_path / path, base).components) == ["text_encoder_2"]


def test_an_adapter_is_no_base(saved: MakeSaved, tmp_path: Path) -> None:
    kohya_adapter("1", tmp_path / "lora.safetensors")
    peft_adapter(saved("1").pipe.unet, LoraConfig(target_modules=["to_q"]), tmp_path / "peft")
    for path in (tmp_path / "lora.safetensors", tmp_path / "peft"):
        with pytest.raises(ModelError, match="is an adapter, not a model"):
            open_model(path)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"peft_type": "VERA"}, r"adapters of type VERA are not read\. Choices: LORA, LOHA, LOKR"),
        ({"init_lora_weights": "pissa_niter_4"}, "changed the base's weights too"),
        ({"init_lora_weights": "olora"}, "path_initial_model_for_weight_conversion"),
        ({"layer_replication": [[0, 2]]}, "uses layer_replication, which is not read"),
        ({"trainable_token_indices": [1]}, "uses trainable_token_indices, which is not read"),
        ({"fan_in_fan_out": True}, "uses fan_in_fan_out, which is not read"),
    ],
)
def test_configurations_with_another_effect_are_refused(
    saved: MakeSaved, tmp_path: Path, setting: dict[str, Any], problem: str
) -> None:
    peft_adapter(saved("1").pipe.unet, LoraConfig(target_modules=["to_q"]), tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | setting))
    with pytest.raises(ModelError, match=problem):
        open_expert(tmp_path, open_model(saved("1").folder))


@pytest.mark.parametrize(
    ("content", "kind", "problem"),
    [
        ("[]", ModelError, "holds no JSON object"),
        ("{", StorageError, "is not valid JSON"),
        ('{"lora_alpha": "many"}', ModelError, "settings are damaged"),
        ('{"alpha_pattern": [1]}', ModelError, "settings are damaged"),
        ('{"alpha_pattern": {"(": 1}}', ModelError, "settings are damaged"),
    ],
)
def test_damaged_configurations_are_named(
    saved: MakeSaved, tmp_path: Path, content: str, kind: type[Exception], problem: str
) -> None:
    peft_adapter(saved("1").pipe.unet, LoraConfig(target_modules=["to_q"]), tmp_path)
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(kind, match=problem):
        open_expert(tmp_path, open_model(saved("1").folder))


def test_damaged_metadata_is_named(saved: MakeSaved, tmp_path: Path) -> None:
    save_file(factors(), tmp_path / "a.safetensors", {"lora_adapter_metadata": "{"})
    with pytest.raises(ModelError, match=r"The metadata of .* is damaged"):
        open_expert(tmp_path / "a.safetensors", open_model(saved("1").folder))


def test_a_kind_of_adapter_that_is_not_read_is_named(saved: MakeSaved, tmp_path: Path) -> None:
    save_file({**factors(), f"{NAME}.oft_blocks": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"oft_blocks': this kind of adapter is not read\. Ch"):
        open_expert(tmp_path / "a.safetensors", open_model(saved("1").folder))


def test_tensors_that_belong_to_no_adapter_are_refused(saved: MakeSaved, tmp_path: Path) -> None:
    save_file({**factors(), "surprise": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"1 tensors that are no part of an adapter.*'surprise'"):
        open_expert(tmp_path / "a.safetensors", open_model(saved("1").folder))


def test_two_spellings_of_one_module_are_refused(saved: MakeSaved, tmp_path: Path) -> None:
    dotted = "unet.mid_block.attentions.0.transformer_blocks.0.attn1"
    state = {
        f"{dotted}.{module}.lora_{factor}.weight": torch.ones(16, 16)
        for module in ("to_q", "processor.to_q")
        for factor in ("A", "B")
    }
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"changes mid_block.* twice"):
        open_expert(tmp_path / "a.safetensors", open_model(saved("1").folder))


def test_an_alpha_of_several_numbers_is_refused(saved: MakeSaved, tmp_path: Path) -> None:
    save_file({**factors(), f"{NAME}.alpha": torch.ones(3)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match=r"\.alpha holds 3 numbers, not one"):
        open_expert(tmp_path / "a.safetensors", open_model(saved("1").folder))


def test_two_adapters_for_one_component_are_refused(saved: MakeSaved, tmp_path: Path) -> None:
    for name in (".", "unet"):
        config = LoraConfig(target_modules=["to_q"])
        peft_adapter(saved("1").pipe.unet, config, tmp_path / name)
    with pytest.raises(ModelError, match="holds two adapters for the unet"):
        open_expert(tmp_path, open_model(saved("1").folder))


def test_a_pickled_adapter_with_code_is_refused(saved: MakeSaved, tmp_path: Path) -> None:
    torch.save({"x.lora_down.weight": torch.ones(1), "f": print}, tmp_path / "lora.pt")
    with pytest.raises(ModelError, match="could run any code"):
        open_expert(tmp_path / "lora.pt", open_model(saved("1").folder))


def test_models_are_not_taken_for_adapters(saved: MakeSaved) -> None:
    pipe = saved("xl").pipe
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        assert not is_adapter(state_of(getattr(pipe, part)))
    assert not is_adapter(load_file(saved("xl").file))
    assert not is_adapter(["decoder.snake.alpha", "decoder.conv.weight"])
    assert not is_adapter([])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("base_model.model.a.to_q.lora_A.weight", ("base_model.model.a.to_q", "down")),
        ("base_model.model.a.to_q.lora_B.default.weight", ("base_model.model.a.to_q", "up")),
        ("unet.a.attn1.processor.to_out_lora.up.weight", ("unet.a.attn1.processor.to_out", "up")),
        ("text_encoder.a.fc1.lora_linear_layer.down.weight", ("text_encoder.a.fc1", "down")),
        ("lora_unet_a_b.alpha", ("lora_unet_a_b", "alpha")),
        ("lora_unet_a_b.lora_mid.weight", ("lora_unet_a_b", "mid")),
        ("lora_unet_a_b.hada_w1_a", ("lora_unet_a_b", "hada_w1_a")),
        ("a.b.lokr_w2_b.default", ("a.b", "lokr_w2_b")),
        ("a.b.lora_magnitude_vector", ("a.b", "magnitude")),
        ("a.b.weight", None),
        ("lora_unet_a.weight", None),
    ],
)
def test_the_role_of_a_tensor_is_in_its_name(name: str, expected: tuple[str, str] | None) -> None:
    assert role_of(name) == expected
