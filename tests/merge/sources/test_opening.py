from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from deme.errors import MismatchError, ModelError
from deme.merge.compression import compress_expert
from deme.merge.sources.contract import DeltaSource, Source, WeightSource
from deme.merge.sources.opening import open_expert, open_model
from merge.sources.conftest import Saved
from merge.sources.tiny_models import State, state_of, text_encoder

MakeSaved = Callable[..., Saved]


def weights(source: Source) -> WeightSource:
    assert isinstance(source, WeightSource)
    return source


def read(source: Source) -> State:
    own = weights(source)
    return {name: own.read(name) for name in own.layout}


def copy_pipeline(saved: Saved, folder: Path) -> Path:
    shutil.copytree(saved.folder, folder)
    return folder


def test_an_expert_pipeline_offers_what_the_base_has(saved: MakeSaved) -> None:
    base = open_model(saved("1").folder)
    expert = open_expert(saved("1", seed=7).folder, base)
    assert list(expert.components) == sorted(base.components)
    for name, source in expert.components.items():
        assert sorted(source.layout) == sorted(base.components[name].layout)
        expected = state_of(getattr(saved("1", seed=7).pipe, name))
        assert all(torch.equal(tensor, expected[n]) for n, tensor in read(source).items())


@pytest.mark.parametrize(
    ("expert", "base", "theirs", "own"),
    [
        ("xl", "1", "a U-Net of Stable Diffusion XL", "a U-Net of Stable Diffusion 1.x"),
        ("2", "1", "a U-Net of Stable Diffusion 2.x", "a U-Net of Stable Diffusion 1.x"),
        ("1", "xl", "a U-Net of Stable Diffusion 1.x", "a U-Net of Stable Diffusion XL"),
    ],
)
@pytest.mark.parametrize("expert_form", ["folder", "file"])
@pytest.mark.parametrize("base_form", ["folder", "file"])
def test_another_architecture_is_refused_with_both_families(
    saved: MakeSaved,
    expert: str,
    base: str,
    theirs: str,
    own: str,
    expert_form: str,
    base_form: str,
) -> None:
    model = open_model(getattr(saved(base), base_form))
    with pytest.raises(MismatchError) as raised:
        open_expert(getattr(saved(expert), expert_form), model)
    assert f"looks like {theirs}; the base looks like {own}." in str(raised.value)


def test_a_mismatch_counts_and_lists_what_differs(saved: MakeSaved, tmp_path: Path) -> None:
    folder = copy_pipeline(saved("1"), tmp_path / "expert")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["conv_in.weight"] = torch.zeros(8, 9, 3, 3)
    state["surprise.weight"] = state.pop("conv_out.weight")
    save_file(state, file)
    with pytest.raises(MismatchError) as raised:
        open_expert(folder, open_model(saved("1").folder))
    base = saved("1").folder
    assert str(raised.value) == (
        f"{folder}/unet and {base}/unet differ in 1 shapes, 1 tensors are only in the base and 1 "
        "only in the expert:\n"
        "  'conv_in.weight': shape (8, 4, 3, 3) against shape (8, 9, 3, 3)\n"
        f"  'conv_out.weight': only in {base}/unet\n"
        f"  'surprise.weight': only in {folder}/unet\n"
        f"{folder}/unet looks like a U-Net of Stable Diffusion 1.x (inpainting); the base looks "
        "like a U-Net of Stable Diffusion 1.x.\n"
        "Fix: give experts that were finetuned from this very base."
    )


def test_quantised_weights_are_another_thing(saved: MakeSaved, tmp_path: Path) -> None:
    state = state_of(saved("1").pipe.unet)
    state["conv_in.weight"] = state["conv_in.weight"].to(torch.int8)
    save_file(state, tmp_path / "int8.safetensors")
    with pytest.raises(MismatchError, match=r"shape \(8, 4, 3, 3\) against torch\.int8 \("):
        open_expert(tmp_path / "int8.safetensors", open_model(saved("1").folder))


def test_a_component_that_the_base_lacks_is_refused(saved: MakeSaved, tmp_path: Path) -> None:
    folder = copy_pipeline(saved("1"), tmp_path / "expert")
    shutil.copytree(folder / "vae", folder / "controlnet")
    index = json.loads((folder / "model_index.json").read_text())
    index["controlnet"] = ["diffusers", "ControlNetModel"]
    (folder / "model_index.json").write_text(json.dumps(index))
    with pytest.raises(MismatchError, match=r"has controlnet, which .* has not\. Choices: text"):
        open_expert(folder, open_model(saved("1").folder))


def test_a_safety_checker_and_our_projections_may_be_the_experts_alone(
    saved: MakeSaved, tmp_path: Path
) -> None:
    folder = copy_pipeline(saved("1"), tmp_path / "expert")
    shutil.copytree(folder / "vae", folder / "safety_checker")
    index = json.loads((folder / "model_index.json").read_text())
    index["safety_checker"] = ["stable_diffusion", "StableDiffusionSafetyChecker"]
    (folder / "model_index.json").write_text(json.dumps(index))
    projections = {"channel_projections.0.weight": torch.eye(2)}
    save_file(projections, folder / "channel_projections.safetensors")
    expert = open_expert(folder, open_model(saved("1").folder))
    assert sorted(expert.components) == ["channel_projections", "text_encoder", "unet", "vae"]


def test_on_a_base_of_one_component_an_experts_others_are_not_meant(saved: MakeSaved) -> None:
    base = open_model(saved("1").folder / "unet")
    for path in (saved("1", seed=7).folder, saved("1", seed=7).file):
        assert list(open_expert(path, base).components) == ["unet"]


def test_a_components_folder_is_placed_by_what_it_holds(saved: MakeSaved, tmp_path: Path) -> None:
    base = open_model(saved("xl").folder)
    shutil.copytree(saved("xl").folder / "text_encoder_2", tmp_path / "my-encoder")
    assert list(open_expert(tmp_path / "my-encoder", base).components) == ["text_encoder_2"]


def test_what_fits_two_components_needs_a_name(saved: MakeSaved, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    for name in ("transformer", "transformer_2"):
        saved("1").pipe.unet.save_pretrained(folder / name)
    index = {name: ["diffusers", "X"] for name in ("transformer", "transformer_2")}
    (folder / "model_index.json").write_text(json.dumps(index))
    base = open_model(folder)
    state = state_of(saved("1").pipe.unet)
    save_file(state, tmp_path / "expert.safetensors")
    with pytest.raises(MismatchError, match="Choices: transformer, transformer_2"):
        open_expert(tmp_path / "expert.safetensors", base)
    save_file(state, tmp_path / "transformer_2.safetensors")
    for path in (tmp_path / "transformer_2.safetensors", folder / "transformer_2"):
        assert list(open_expert(path, base).components) == ["transformer_2"]


def test_a_training_scripts_checkpoint_without_an_index_is_read(
    saved: MakeSaved, tmp_path: Path
) -> None:
    saved("1", seed=7).pipe.unet.save_pretrained(tmp_path / "checkpoint-500" / "unet")
    torch.save({"step": 500}, tmp_path / "checkpoint-500" / "optimizer.bin")
    expert = open_expert(tmp_path / "checkpoint-500", open_model(saved("1").folder))
    assert list(expert.components) == ["unet"]
    with pytest.raises(ModelError, match="No weights found"):
        open_model(tmp_path / "checkpoint-500")


def test_positions_that_libraries_save_or_not_do_not_matter(
    saved: MakeSaved, tmp_path: Path
) -> None:
    """transformers before 4.31 saved ``position_ids``, a buffer of integers."""
    state = state_of(saved("1").pipe.text_encoder)
    older = {f"text_model.{name}": tensor for name, tensor in state.items()}
    older["text_model.embeddings.position_ids"] = torch.arange(8).view(1, 8)
    for name, weights_ in (("old", older), ("new", state)):
        (tmp_path / name / "text_encoder").mkdir(parents=True)
        save_file(weights_, tmp_path / name / "text_encoder" / "model.safetensors")
    for base, expert in (("old", "new"), ("new", "old")):
        model = open_model(tmp_path / base / "text_encoder")
        found = open_expert(tmp_path / expert / "text_encoder", model).components["text_encoder"]
        assert set(found.layout) == {
            n for n in model.components["text_encoder"].layout if "position_ids" not in n
        }
        assert all(
            torch.equal(tensor, state[name.removeprefix("text_model.")])
            for name, tensor in read(found).items()
        )


def test_tied_weights_may_be_stored_once_or_twice(tmp_path: Path) -> None:
    """T5's embedding is ``shared`` and ``embed_tokens``; pickles have both, safetensors one."""
    once = {"shared.weight": torch.randn(6, 4), "block.weight": torch.randn(6, 4)}
    twice = {**once, "encoder.embed_tokens.weight": once["shared.weight"].clone()}
    save_file(once, tmp_path / "once.safetensors")
    save_file(twice, tmp_path / "twice.safetensors")
    tuned = {name: tensor + 1 for name, tensor in once.items()}
    save_file(tuned, tmp_path / "tuned.safetensors")
    base = open_model(tmp_path / "twice.safetensors")
    found = read(open_expert(tmp_path / "tuned.safetensors", base).components["model"])
    assert sorted(found) == sorted(twice)
    assert torch.equal(found["encoder.embed_tokens.weight"], tuned["shared.weight"])
    found = read(
        open_expert(
            tmp_path / "twice.safetensors", open_model(tmp_path / "once.safetensors")
        ).components["model"]
    )
    assert sorted(found) == sorted(once)
    # a tensor of other numbers is no second copy
    save_file({**twice, "other.weight": torch.ones(6, 4)}, tmp_path / "more.safetensors")
    with pytest.raises(MismatchError, match=r"'other\.weight': only in"):
        open_expert(tmp_path / "more.safetensors", base)


def test_names_of_an_expert_are_shown_escaped(saved: MakeSaved, tmp_path: Path) -> None:
    state = state_of(text_encoder())
    save_file({**state, "../../x y": torch.ones(1)}, tmp_path / "odd.safetensors")
    with pytest.raises(MismatchError, match=r"'\.\./\.\./x y': only in"):
        open_expert(tmp_path / "odd.safetensors", open_model(saved("1").folder))


def test_an_expert_in_half_precision_keeps_its_dtype(saved: MakeSaved, tmp_path: Path) -> None:
    state = {name: tensor.half() for name, tensor in state_of(saved("1").pipe.unet).items()}
    save_file(state, tmp_path / "half.safetensors")
    for base in (saved("1").folder, saved("1").file):
        found = open_expert(tmp_path / "half.safetensors", open_model(base)).components["unet"]
        assert {info.dtype for info in found.layout.values()} == {torch.float16}
        assert {tensor.dtype for tensor in read(found).values()} == {torch.float16}


def test_what_is_nowhere_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "something").mkdir()
    for wrong in ("nothing", "somethin", "x.safetensors"):
        with pytest.raises(ModelError, match="There is no"):
            open_model(tmp_path / wrong)
    with pytest.raises(ModelError, match=r"Did you mean '.*something'"):
        open_model(tmp_path / "somethin")
    with pytest.raises(ModelError, match="is neither a folder here nor"):
        open_model("no-such-owner/no-such-model")


def test_folders_without_anything_are_refused(saved: MakeSaved, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No weights found"):
        open_expert(tmp_path, open_model(saved("1").folder))


def test_a_compressed_expert_is_an_expert_and_no_base(saved: MakeSaved, tmp_path: Path) -> None:
    base = open_model(saved("1").folder)
    full = open_expert(saved("1", seed=7).folder, base)
    compress_expert(base, full, tmp_path / "small.safetensors")
    small = open_expert(tmp_path / "small.safetensors", base)
    assert sorted(small.components) == sorted(full.components)
    theta = weights(base.components["unet"]).read("conv_in.weight")
    source = small.components["unet"]
    assert isinstance(source, DeltaSource)
    expected = read(full.components["unet"])["conv_in.weight"] - theta
    assert torch.equal(source.read_delta("conv_in.weight", theta), expected)
    with pytest.raises(ModelError, match="is a compressed expert, not a model"):
        open_model(tmp_path / "small.safetensors")


def test_one_component_of_a_single_file_that_cannot_be_converted_is_no_hindrance(
    saved: MakeSaved, tmp_path: Path
) -> None:
    """An autoencoder in diffusers' names for a file whose transformer has none of them."""
    state = load_file(saved("1").file)
    start = "model.diffusion_model."
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(start)}
    kept[f"{start}double_blocks.0.img_attn.qkv.weight"] = torch.ones(2)
    kept[f"{start}single_blocks.0.linear1.weight"] = torch.ones(2)
    save_file(kept, tmp_path / "base.safetensors")
    save_file(state_of(saved("1", seed=7).pipe.vae), tmp_path / "expert.safetensors")
    base = open_model(tmp_path / "base.safetensors")
    assert list(open_expert(tmp_path / "expert.safetensors", base).components) == ["vae"]
