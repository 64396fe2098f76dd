from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UNet2DModel
from safetensors.torch import load_file, save_file

from deme.errors import MismatchError, ModelError
from deme.merge.sources.contract import ModelSource, Source, WeightSource
from deme.merge.sources.opening import open_expert, open_model
from merge.sources.conftest import Saved
from merge.sources.tiny_models import State, original_state, perturb, state_of, unet

MakeSaved = Callable[..., Saved]
FAMILIES = ("1", "2", "xl")
PARTS = ("unet", "vae", "text_encoder")


def weights(source: Source) -> WeightSource:
    assert isinstance(source, WeightSource)
    return source


def read_all(model: ModelSource) -> State:
    return {
        n: source.read(n)
        for s in model.components.values()
        for source in [weights(s)]
        for n in source.layout
    }


def assert_same(found: State, expected: State) -> None:
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_expert_of_a_folder_has_the_folders_names(
    saved: MakeSaved, family: str
) -> None:
    base, expert = open_model(saved(family).folder), saved(family, seed=7)
    found = open_expert(expert.file, base)
    assert list(found.components) == sorted(base.components)
    for name, source in found.components.items():
        own = weights(source)
        assert_same({n: own.read(n) for n in own.layout}, state_of(getattr(expert.pipe, name)))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_expert_of_a_single_file_has_the_files_names(
    saved: MakeSaved, family: str
) -> None:
    base, expert = open_model(saved(family).file), saved(family, seed=7)
    found = read_all(open_expert(expert.folder, base))
    expected = original_state(expert.pipe, family)
    del expected["betas"]  # diffusers' folders have no place for them
    assert_same(found, expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_file_base_keeps_all_its_names(saved: MakeSaved, family: str) -> None:
    base = open_model(saved(family).file)
    assert (base.form, base.folder) == ("file", None)
    assert set(base.components) - {"text_encoder_2"} == {*PARTS, "other"}
    assert_same(read_all(base), load_file(saved(family).file))


@pytest.mark.parametrize("family", FAMILIES)
def test_single_files_match_by_their_names(saved: MakeSaved, family: str) -> None:
    found = read_all(open_expert(saved(family, seed=7).file, open_model(saved(family).file)))
    expected = original_state(saved(family, seed=7).pipe, family)
    del expected["betas"]  # no component's
    assert_same(found, expected)


@pytest.mark.parametrize(("kind", "part"), [(UNet2DConditionModel, "unet"), (AutoencoderKL, "vae")])
def test_diffusers_itself_reads_a_single_file_to_the_same(
    saved: MakeSaved, kind: Any, part: str
) -> None:
    """``from_single_file`` is what our lazy conversion must agree with."""
    file, base = saved("xl", seed=7).file, saved("xl").folder
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        network = kind.from_single_file(str(file), config=str(base), subfolder=part)
    own = weights(open_expert(file, open_model(base)).components[part])
    assert_same({n: own.read(n) for n in own.layout}, state_of(network))


def test_renamed_tensors_are_still_views_of_the_file(saved: MakeSaved) -> None:
    found = open_expert(saved("1", seed=7).file, open_model(saved("1").folder))
    source = weights(found.components["unet"])
    first, again = source.read("conv_in.weight"), source.read("conv_in.weight")
    assert first.data_ptr() == again.data_ptr()


def test_an_attention_of_the_older_layout_is_matched_both_ways(
    saved: MakeSaved, tmp_path: Path
) -> None:
    """Convolutions of 1×1 in the file are linear layers in diffusers."""
    name = "first_stage_model.encoder.mid.attn_1.q.weight"
    assert load_file(saved("1").file)[name].ndim == 4
    base = open_model(saved("1").file)
    restored = weights(open_expert(saved("1", seed=7).folder, base).components["vae"])
    assert restored.read(name).shape == load_file(saved("1").file)[name].shape


def test_what_diffusers_has_no_place_for_is_left_as_it_is(saved: MakeSaved, tmp_path: Path) -> None:
    """Of Stable Diffusion 2 diffusers drops the last text layer; so τ is 0 there."""
    state = load_file(saved("2").file)
    extra = "cond_stage_model.model.logit_scale"
    save_file({**state, extra: torch.tensor(4.6)}, tmp_path / "base.safetensors")
    base = open_model(tmp_path / "base.safetensors")
    expert = open_expert(saved("2", seed=7).folder, base)
    assert extra in base.components["text_encoder"].layout
    assert extra not in expert.components["text_encoder"].layout


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_unet_alone_in_its_file(saved: MakeSaved, tmp_path: Path, prefix: str) -> None:
    state = original_state(saved("xl", seed=7).pipe, "xl")
    start = "model.diffusion_model."
    alone = {prefix + n.removeprefix(start): t for n, t in state.items() if n.startswith(start)}
    save_file(alone, tmp_path / "alone.safetensors")
    for base in (saved("xl").folder, saved("xl").file, saved("xl").folder / "unet"):
        found = open_expert(tmp_path / "alone.safetensors", open_model(base))
        assert list(found.components) == ["unet"]
    plain = weights(
        open_expert(tmp_path / "alone.safetensors", open_model(saved("xl").folder)).components[
            "unet"
        ]
    )
    assert_same({n: plain.read(n) for n in plain.layout}, state_of(saved("xl", seed=7).pipe.unet))
    as_base = open_model(tmp_path / "alone.safetensors")
    assert sorted(as_base.components["unet"].layout) == sorted(alone)
    back = read_all(open_expert(saved("xl").folder / "unet", as_base))
    assert sorted(back) == sorted(alone)


def test_an_autoencoder_alone_in_its_file(saved: MakeSaved, tmp_path: Path) -> None:
    state = original_state(saved("1", seed=7).pipe)
    start = "first_stage_model."
    alone = {n.removeprefix(start): t.contiguous() for n, t in state.items() if n.startswith(start)}
    torch.save({"state_dict": alone}, tmp_path / "vae.ckpt")
    found = open_expert(tmp_path / "vae.ckpt", open_model(saved("1").folder))
    assert list(found.components) == ["vae"]
    source = weights(found.components["vae"])
    assert_same({n: source.read(n) for n in source.layout}, state_of(saved("1", seed=7).pipe.vae))


def test_averaged_weights_and_schedules_stay_the_bases(saved: MakeSaved, tmp_path: Path) -> None:
    state = load_file(saved("1").file)
    extra = {
        "model_ema.diffusion_modelconv": torch.ones(2),
        "model_ema.num_updates": torch.tensor(3),
    }
    save_file({**state, **extra}, tmp_path / "full.safetensors")
    base = open_model(tmp_path / "full.safetensors")
    assert sorted(base.components["other"].layout) == sorted([*extra, "betas"])
    assert "other" not in open_expert(tmp_path / "full.safetensors", base).components


def test_a_file_of_one_component_in_diffusers_names_is_matched_by_what_it_holds(
    saved: MakeSaved, tmp_path: Path
) -> None:
    for part in PARTS:
        state = state_of(getattr(saved("1", seed=7).pipe, part))
        save_file(state, tmp_path / "weights.safetensors")
        for base in (saved("1").folder, saved("1").file):
            found = open_expert(tmp_path / "weights.safetensors", open_model(base))
            assert list(found.components) == [part]


def flux_like() -> State:
    start = "model.diffusion_model."
    return {
        f"{start}double_blocks.0.img_attn.qkv.weight": torch.ones(2),
        f"{start}single_blocks.0.x": torch.ones(1),
    }


def test_single_files_of_other_families_match_their_like_and_nothing_else(
    saved: MakeSaved, tmp_path: Path
) -> None:
    save_file(flux_like(), tmp_path / "base.safetensors")
    save_file(flux_like(), tmp_path / "expert.safetensors")
    base = open_model(tmp_path / "base.safetensors")
    found = open_expert(tmp_path / "expert.safetensors", base)
    assert list(found.components) == ["transformer"]
    with pytest.raises((ModelError, MismatchError)):
        open_expert(saved("1").folder, base)
    with pytest.raises(ModelError, match=r"not in the names of Stable Diffusion 1\.x, 2\.x or XL"):
        save_file({"transformer_blocks.0.x": torch.ones(1)}, tmp_path / "other.safetensors")
        open_expert(tmp_path / "other.safetensors", base)


def test_names_of_older_versions_are_the_same_weights(tmp_path: Path) -> None:
    """diffusers 0.16 renamed attention blocks; transformers 5.6 dropped a prefix."""
    network = UNet2DModel(
        block_out_channels=(8, 8),
        norm_num_groups=4,
        attention_head_dim=4,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    network.save_pretrained(tmp_path / "new")
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state: State = {}
    for name, tensor in state_of(network).items():
        for new, old in older.items():
            name = name.replace(f".{new}.", f".{old}.")
        state[name] = tensor
    (tmp_path / "old").mkdir()
    save_file(state, tmp_path / "old" / "diffusion_pytorch_model.safetensors")
    perturb(network, 3)
    network.save_pretrained(tmp_path / "expert")
    base = open_model(tmp_path / "old")
    own = weights(open_expert(tmp_path / "expert", base).components["unet"])
    assert sorted(own.layout) == sorted(state)
    name = next(name for name in state if name.endswith("attentions.0.query.weight"))
    assert torch.equal(own.read(name), state_of(network)[name.replace("query", "to_q")])


def test_trained_wrappers_leave_their_prefix_behind(saved: MakeSaved, tmp_path: Path) -> None:
    state = state_of(unet())
    save_file({f"module._orig_mod.{n}": t for n, t in state.items()}, tmp_path / "ddp.safetensors")
    found = open_expert(tmp_path / "ddp.safetensors", open_model(saved("1").folder))
    assert_same(read_all(found), state)
