"""Whole tiny Stable Diffusion pipelines through the engine, and every form of expert."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from deme.merge import MergeRecipe, MergeSource, plan_merge, write_merge
from merge.sources.tiny_adapters import (
    diffusers_adapter,
    fused_by_diffusers,
    kohya_adapter,
    peft_adapter,
)
from merge.sources.tiny_models import State, original_state, perturb, pipeline, state_of


def merge(base: Path, experts: dict[Path, float], output: Path, **more: Any) -> Any:
    models = [
        MergeSource(model=str(path), parameters={"weight": weight})
        for path, weight in experts.items()
    ]
    variant = more.pop("base_variant", None)
    recipe = MergeRecipe(base_model=str(base), base_variant=variant, models=models, **more)
    return write_merge(plan_merge(recipe, Path()), output, origin=Path())


def loaded(folder: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no safety checker
        absent = dict.fromkeys(("tokenizer", "safety_checker", "feature_extractor"))
        return diffusers.DiffusionPipeline.from_pretrained(folder, **absent)


def assert_states(found: Any, expected: State, tolerance: float = 1e-6) -> None:
    found = state_of(found) if isinstance(found, torch.nn.Module) else found
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        error = float((found[name].float() - tensor.float()).norm())
        assert error <= tolerance * float(tensor.float().norm()), name


def between(base: State, expert: State, weight: float) -> State:
    return {name: tensor + weight * (expert[name] - tensor) for name, tensor in base.items()}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    pipeline().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def finetuned(*parts: str, seed: int = 7) -> Any:
    pipe = pipeline()
    for name in parts:
        perturb(getattr(pipe, name), seed)
    return pipe


@pytest.mark.parametrize("weight", [1.0, -0.4])
def test_peft_kohya_and_dense_experts_of_one_change_merge_to_the_same_weights(
    base: Path, tmp_path: Path, weight: float
) -> None:
    diffusers_adapter("1", tmp_path / "lora")
    kohya_adapter("1", tmp_path / "kohya.safetensors")
    dense = pipeline()
    for name, state in fused_by_diffusers("1", tmp_path / "lora").items():
        getattr(dense, name).load_state_dict(state)
    dense.save_pretrained(tmp_path / "dense")
    original = pipeline()
    for form in ("lora", "kohya.safetensors", "dense"):
        merge(base, {tmp_path / form: weight}, tmp_path / f"merged-{form}")
        pipe = loaded(tmp_path / f"merged-{form}")
        for name in ("unet", "text_encoder"):
            own, other = state_of(getattr(original, name)), state_of(getattr(dense, name))
            assert_states(getattr(pipe, name), between(own, other, weight))
        assert_states(pipe.vae, state_of(original.vae), 0)


def test_a_peft_folder_is_the_network_that_peft_merges(base: Path, tmp_path: Path) -> None:
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "conv1"])
    expected = peft_adapter(pipeline().unet, config, tmp_path / "adapter")
    merge(base, {tmp_path / "adapter": 1.0}, tmp_path / "merged")
    assert_states(loaded(tmp_path / "merged").unet, expected)


def test_only_what_experts_changed_is_merged_and_the_rest_is_copied(
    base: Path, tmp_path: Path
) -> None:
    one, two = finetuned("unet", seed=7), finetuned("unet", "text_encoder", seed=8)
    one.save_pretrained(tmp_path / "one")
    two.save_pretrained(tmp_path / "two")
    recipe = MergeRecipe(
        base_model=str(base),
        models=[MergeSource(model=str(tmp_path / name)) for name in ("one", "two")],
    )
    plan = plan_merge(recipe, Path())
    changed = {
        name: [source is not None for source in component.experts]
        for name, component in plan.merged.items()
    }
    assert changed == {"unet": [True, True], "text_encoder": [False, True]}
    assert plan.copied == ("vae",)
    write_merge(plan, tmp_path / "merged", origin=Path())
    pipe, original = loaded(tmp_path / "merged"), pipeline()
    expected = between(state_of(original.text_encoder), state_of(two.text_encoder), 0.5)
    assert_states(pipe.text_encoder, expected)
    file = "vae/diffusion_pytorch_model.safetensors"
    assert (tmp_path / "merged" / file).read_bytes() == (base / file).read_bytes()


def test_experts_of_every_form_together(base: Path, tmp_path: Path) -> None:
    experts: dict[Path, float] = {}
    changed = [finetuned("unet", seed=seed) for seed in range(4)]
    changed[0].save_pretrained(tmp_path / "sharded", max_shard_size="50KB")
    changed[1].unet.save_pretrained(tmp_path / "checkpoint-500" / "unet")
    save_file(original_state(changed[2]), tmp_path / "one-file.safetensors")
    torch.save(state_of(changed[3].unet), tmp_path / "plain.bin")
    for path, weight in zip(
        ("sharded", "checkpoint-500", "one-file.safetensors", "plain.bin"),
        (0.1, -0.2, 0.3, 0.4),
        strict=True,
    ):
        experts[tmp_path / path] = weight
    merge(base, experts, tmp_path / "merged")
    expected = own = state_of(pipeline().unet)
    for pipe, weight in zip(changed, experts.values(), strict=True):
        other = state_of(pipe.unet)
        expected = {n: expected[n] + weight * (other[n] - own[n]) for n in own}
    assert_states(loaded(tmp_path / "merged").unet, expected)


def test_a_file_stays_a_file_in_its_own_names(tmp_path: Path) -> None:
    own, changed = original_state(pipeline()), original_state(finetuned("unet", "text_encoder"))
    extra = {"betas": torch.linspace(0, 1, 10)}
    save_file({**own, **extra}, tmp_path / "base.safetensors")
    save_file(changed, tmp_path / "e.safetensors")
    kohya_adapter("1", tmp_path / "kohya.safetensors")
    merged = tmp_path / "merged.safetensors"
    merge(tmp_path / "base.safetensors", {tmp_path / "e.safetensors": 0.5}, merged)
    assert_states(load_file(merged), {**between(own, changed, 0.5), **extra})
    lora = tmp_path / "lora.safetensors"
    merge(tmp_path / "base.safetensors", {tmp_path / "kohya.safetensors": 1.0}, lora)
    dense = pipeline()
    diffusers_adapter("1", tmp_path / "lora")
    for name, state in fused_by_diffusers("1", tmp_path / "lora").items():
        getattr(dense, name).load_state_dict(state)
    assert_states(load_file(lora), {**original_state(dense), **extra})


@pytest.mark.parametrize("base_variant", ["fp16", None])
def test_a_base_that_is_a_variant_gives_a_pipeline_without_one(
    tmp_path: Path, base_variant: str | None
) -> None:
    """Names of copied files must not keep a variant that the merged ones lack."""
    pipeline().to(torch.float16).save_pretrained(tmp_path / "base", variant="fp16")
    expert = finetuned("unet").to(torch.float16)
    expert.save_pretrained(tmp_path / "e")
    merge(tmp_path / "base", {tmp_path / "e": 0.5}, tmp_path / "merged", base_variant=base_variant)
    files = {path.name for path in (tmp_path / "merged").rglob("*.safetensors")}
    assert files == {"diffusion_pytorch_model.safetensors", "model.safetensors"}
    pipe = loaded(tmp_path / "merged")
    own, other = state_of(pipeline().to(torch.float16).unet), state_of(expert.unet)
    expected = {n: own[n].float() + 0.5 * (other[n].float() - own[n].float()) for n in own}
    assert_states(pipe.unet, expected)


@pytest.mark.parametrize("dtype", ["base", "bfloat16"])
def test_merged_weights_are_stored_as_asked_for(tmp_path: Path, dtype: str) -> None:
    pipeline().to(torch.float16).save_pretrained(tmp_path / "base")
    finetuned("unet").save_pretrained(tmp_path / "e")
    result = merge(tmp_path / "base", {tmp_path / "e": 0.5}, tmp_path / "merged", dtype=dtype)
    stored = load_file(tmp_path / "merged" / "unet" / "diffusion_pytorch_model.safetensors")
    wanted = torch.float16 if dtype == "base" else torch.bfloat16
    assert {tensor.dtype for tensor in stored.values()} == {wanted}
    assert result.losses["unet"].changed > 0


def test_sharded_copies_keep_their_index(tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "base", max_shard_size="50KB")
    finetuned("vae").save_pretrained(tmp_path / "e")
    merge(tmp_path / "base", {tmp_path / "e": 0.5}, tmp_path / "merged")
    assert list((tmp_path / "merged" / "unet").glob("*.index.json"))
    pipe, original = loaded(tmp_path / "merged"), pipeline()
    assert_states(pipe.unet, state_of(original.unet), 0)
    expected = between(state_of(original.vae), state_of(finetuned("vae").vae), 0.5)
    assert_states(pipe.vae, expected)
