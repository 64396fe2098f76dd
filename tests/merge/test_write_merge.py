import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import yaml
from diffusers import DiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from deme.config import parse_config
from deme.decouple import attach_projections, restore_projections
from deme.denoisers import Denoiser, load_denoiser
from deme.errors import ConfigError, MismatchError, StorageError
from deme.merge import (
    MergeRecipe,
    MergeResult,
    MergeSource,
    StateDict,
    TaskVector,
    merge_weights,
    plan_merge,
    read_recipe,
    read_weights,
    write_merge,
)

MakeExpert = Callable[[str, int], Path]
FILE = "diffusion_pytorch_model.safetensors"
WEIGHTS = f"unet/{FILE}"


def recipe_of(base: Denoiser, *sources: MergeSource, **more: Any) -> MergeRecipe:
    return MergeRecipe(base_model=base.name, models=list(sources), **more)


def expert(path: Path | str, weight: Any, **more: Any) -> MergeSource:
    return MergeSource(model=str(path), parameters={"weight": weight}, **more)


def merge(recipe: MergeRecipe, output: Path, folder: Path = Path(), **more: Any) -> MergeResult:
    return write_merge(plan_merge(recipe, folder), output, origin=folder, **more)


@pytest.fixture
def recipe(base: Denoiser, make_expert: MakeExpert) -> MergeRecipe:
    first = expert(make_expert("e1", 1), 0.75, min_timestep=0, max_timestep=500)
    return recipe_of(base, first, expert(make_expert("e2", 2), -0.25))


def test_the_written_pipeline_holds_equation_8(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path
) -> None:
    merge(recipe, tmp_path / "merged")
    theta = load_file(Path(base.name) / WEIGHTS)
    experts = [load_file(Path(source.model) / WEIGHTS) for source in recipe.models]
    for name, tensor in load_file(tmp_path / "merged" / WEIGHTS).items():
        one, two = (e[name].double() - theta[name].double() for e in experts)
        expected = theta[name].double() + 0.75 * one - 0.25 * two
        assert not torch.equal(tensor, theta[name])
        torch.testing.assert_close(tensor.double(), expected, rtol=0, atol=1e-7)


def test_streaming_equals_merging_in_memory(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path
) -> None:
    merge(recipe, tmp_path / "merged")
    theta = StateDict({k: v.clone() for k, v in base.weights().items()}, "base")
    experts = [read_weights(Path(source.model)) for source in recipe.models]
    vectors = [TaskVector.between(theta, each) for each in experts]
    expected = merge_weights(theta, vectors, [0.75, -0.25])
    assert read_weights(tmp_path / "merged").digest() == expected.digest()


def test_it_loads_in_plain_diffusers_with_the_bases_keys_and_config(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path
) -> None:
    merge(recipe, tmp_path / "merged")
    pipeline = cast(Any, DiffusionPipeline.from_pretrained(tmp_path / "merged"))
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(batch_size=2, num_inference_steps=2, output_type="np").images
    assert images.shape == (2, 8, 8, 1)
    original = Path(base.name)
    stock = {k: v.shape for k, v in load_file(original / WEIGHTS).items()}
    assert {k: v.shape for k, v in load_file(tmp_path / "merged" / WEIGHTS).items()} == stock
    for name in ("model_index.json", "unet/config.json", "scheduler/scheduler_config.json"):
        assert (tmp_path / "merged" / name).read_bytes() == (original / name).read_bytes()


def test_a_colleague_may_read_what_was_written(recipe: MergeRecipe, tmp_path: Path) -> None:
    merge(recipe, tmp_path / "merged")
    (tmp_path / "plain").touch()
    expected = (tmp_path / "plain").stat().st_mode
    for path in (tmp_path / "merged").rglob("*"):
        if path.is_file():
            assert path.stat().st_mode == expected, path


def test_the_stored_recipe_has_the_hashes_of_all_that_was_read(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path
) -> None:
    result = merge(recipe, tmp_path / "merged")
    stored = yaml.safe_load((tmp_path / "merged" / "recipe.yaml").read_text("utf-8"))
    assert parse_config(MergeRecipe, stored) == result.recipe
    hashes = [result.recipe.base_hash, *(model.hash for model in result.recipe.models)]
    assert all(re.fullmatch("xxh3-128:[0-9a-f]{32}", str(found)) for found in hashes)
    assert len(set(hashes)) == 3
    assert result.recipe.versions["torch"] == torch.__version__
    assert (result.recipe.models[0].min_timestep, result.recipe.models[0].max_timestep) == (0, 500)
    with safe_open(tmp_path / "merged" / WEIGHTS, framework="pt") as file:
        assert file.metadata() == {"format": "pt", "deme_recipe_hash": result.recipe.meaning()}


def test_a_stored_recipe_repeats_its_merge_to_the_same_bytes(
    recipe: MergeRecipe, tmp_path: Path
) -> None:
    merge(recipe, tmp_path / "first", workers=1)
    stored, folder = read_recipe(tmp_path / "first")
    merge(stored, tmp_path / "second", folder, workers=3)
    files = [p.relative_to(tmp_path / "first") for p in (tmp_path / "first").rglob("*.*")]
    assert Path("recipe.yaml") in files
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_relative_paths_are_kept_relative_to_the_recipe(
    recipe: MergeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    models = [m.model_copy(update={"model": Path(m.model).name}) for m in recipe.models]
    local = recipe.model_copy(update={"base_model": "base", "models": models})
    stored = merge(local, Path("deep/er/merged")).recipe
    assert stored.base_model == "../../../base"
    assert [m.model for m in stored.models] == ["../../../e1", "../../../e2"]
    monkeypatch.chdir("/")
    again, folder = read_recipe(tmp_path / "deep/er/merged")
    merge(again, tmp_path / "again", folder)
    first = (tmp_path / "deep/er/merged" / WEIGHTS).read_bytes()
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == first


def test_other_weights_than_the_recipe_names_are_refused(
    recipe: MergeRecipe, make_expert: MakeExpert, tmp_path: Path
) -> None:
    merge(recipe, tmp_path / "first")
    stored, folder = read_recipe(tmp_path / "first")
    other = load_file(tmp_path / "e2" / WEIGHTS)
    name = next(iter(other))
    other[name].view(-1)[0] += 1e-6
    save_file(other, tmp_path / "e2" / WEIGHTS)
    with pytest.raises(MismatchError, match=r"e2 is not the one that the recipe names"):
        merge(stored, tmp_path / "second", folder)
    assert not (tmp_path / "second").exists()


def test_an_output_that_exists_is_left_alone_unless_it_may_be_replaced(
    recipe: MergeRecipe, tmp_path: Path
) -> None:
    (tmp_path / "merged").mkdir()
    (tmp_path / "merged" / "precious").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match=r"merged exists and is no merge.*--output"):
            merge(recipe, tmp_path / "merged", overwrite=overwrite)
    assert [path.name for path in (tmp_path / "merged").iterdir()] == ["precious"]
    (tmp_path / "merged" / "precious").unlink()
    merge(recipe, tmp_path / "merged", overwrite=True)
    before = (tmp_path / "merged" / WEIGHTS).read_bytes()
    other = recipe.model_copy(update={"merge_method": "ties"})
    with pytest.raises(ConfigError, match=r"merged exists\. Fix: .*--overwrite"):
        merge(other, tmp_path / "merged")
    assert (tmp_path / "merged" / WEIGHTS).read_bytes() == before
    merge(other, tmp_path / "merged", overwrite=True)
    assert (tmp_path / "merged" / WEIGHTS).read_bytes() != before


def test_an_input_is_never_replaced(recipe: MergeRecipe, tmp_path: Path) -> None:
    for name in ("base", "e1"):
        (tmp_path / name / "recipe.yaml").touch()
        with pytest.raises(ConfigError, match="which the merge reads"):
            merge(recipe, tmp_path / name, overwrite=True)
        assert (tmp_path / name / WEIGHTS).is_file()


def test_an_expert_given_twice_is_refused_under_any_spelling(
    recipe: MergeRecipe, tmp_path: Path
) -> None:
    again = expert(tmp_path / "e2" / ".." / "e1", 1.0)
    twice = recipe.model_copy(update={"models": [*recipe.models, again]})
    with pytest.raises(ConfigError, match="e1 is given twice"):
        merge(twice, tmp_path / "merged")


def test_an_expert_of_another_architecture_is_refused(
    base: Denoiser, make_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    other = make_pipeline("wide", width=16)
    with pytest.raises(MismatchError, match=r"conv_in.bias.*\(8,\) against.*\(16,\)"):
        merge(recipe_of(base, expert(other, 1.0)), tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "wide"]


def test_an_expert_that_is_the_base_is_refused(base: Denoiser, tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="No expert differs from the base"):
        merge(recipe_of(base, expert(base.name, 1.0)), tmp_path / "merged")


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("where", ["base", "e1"])
@pytest.mark.parametrize("method", ["task_arithmetic", "breadcrumbs"])
def test_values_that_are_not_finite_are_blamed_on_their_file(
    recipe: MergeRecipe, tmp_path: Path, where: str, value: float, method: str
) -> None:
    weights = load_file(tmp_path / where / WEIGHTS)
    weights["conv_in.bias"][3] = value
    save_file(weights, tmp_path / where / WEIGHTS)
    with pytest.raises(MismatchError, match=rf"{where}.* not finite .* in conv_in\.bias"):
        merge(recipe.model_copy(update={"merge_method": method}), tmp_path / "merged")
    assert not any("merged" in path.name for path in tmp_path.iterdir())


def test_too_little_space_is_found_before_anything_is_written(
    recipe: MergeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deme.merge.output_place.free_bytes", lambda path: 1000)
    with pytest.raises(StorageError, match=r"takes 0\.00 GB, and 0\.00 GB are free"):
        merge(recipe, tmp_path / "merged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "e1", "e2"]


def test_half_precision_experts_of_a_half_precision_base_are_merged_in_float32(
    make_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_pipeline("half", half=True)
    stored = load_file(folder / WEIGHTS)
    file = tmp_path / "expert.safetensors"
    save_file({k: v + torch.full_like(v, 0.01) for k, v in stored.items()}, file)
    merge(MergeRecipe(base_model=str(folder), models=[expert(file, 0.5)]), tmp_path / "merged")
    change, merged = load_file(file), load_file(tmp_path / "merged" / WEIGHTS)
    for key, tensor in stored.items():
        expected = tensor.float() + 0.5 * (change[key].float() - tensor.float())
        torch.testing.assert_close(merged[key], expected, rtol=0, atol=1e-7)


def test_what_a_half_precision_expert_left_alone_stays_as_it_is(
    base: Denoiser, tmp_path: Path
) -> None:
    """Its rounding of the base is not taken for a change."""
    theta = base.weights()
    change = {k: v.clone() for k, v in theta.items()}
    change["conv_in.bias"] += 0.5
    file = tmp_path / "expert.safetensors"
    save_file({k: v.half() for k, v in change.items()}, file)
    merge(recipe_of(base, expert(file, 2.0)), tmp_path / "merged")
    merged = load_file(tmp_path / "merged" / WEIGHTS)
    for key, tensor in theta.items():
        if key != "conv_in.bias":
            assert torch.equal(merged[key], tensor), key
    expected = theta["conv_in.bias"] + 1.0
    torch.testing.assert_close(merged["conv_in.bias"], expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_export_in_half_precision_says_what_it_lost(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path, dtype: torch.dtype
) -> None:
    name = str(dtype).removeprefix("torch.")
    exact = merge(recipe, tmp_path / "exact")
    assert exact.losses == {}
    loss = merge(recipe.model_copy(update={"dtype": name}), tmp_path / "half").losses["unet"]
    merged, stored = (load_file(tmp_path / f / WEIGHTS) for f in ("exact", "half"))
    theta = base.weights()
    changed = survived = 0
    error = norm = 0.0
    for key, tensor in merged.items():
        assert torch.equal(stored[key], tensor.to(dtype))
        delta = tensor - theta[key]
        kept = tensor.to(dtype).float() - theta[key].to(dtype).float()
        changed += int((delta != 0).sum())
        survived += int(((delta != 0) & (kept != 0)).sum())
        error += float((kept - delta).double().square().sum())
        norm += float(delta.double().square().sum())
    assert (loss.changed, loss.survived) == (changed, survived)
    assert loss.relative_error == pytest.approx(math.sqrt(error / norm), rel=1e-4)
    assert 0 < loss.relative_error < 1
    assert f"stored in {name}: " in loss.describe(dtype)


def test_projections_that_stay_in_the_experts_are_merged_too(
    base: Denoiser, tmp_path: Path
) -> None:
    with_projections = base.clone()
    attach_projections(with_projections, "block")
    weights = with_projections.weights()
    name = next(name for name in weights if name.startswith("channel_projections"))
    expected = weights[name].clone()
    expected[0, 1] += 1.0
    weights[name][0, 1] += 2.0
    (tmp_path / "e").mkdir()
    with_projections.save(tmp_path / "e")
    merge(recipe_of(base, expert(tmp_path / "e", 0.5)), tmp_path / "merged")
    merged = load_denoiser(tmp_path / "merged")
    restore_projections(merged, tmp_path / "merged")
    assert torch.equal(merged.weights()[name], expected)
    merge_again = read_recipe(tmp_path / "merged")
    merge(merge_again[0], tmp_path / "again", merge_again[1])


def test_sharded_weights_load_in_plain_diffusers(recipe: MergeRecipe, tmp_path: Path) -> None:
    merge(recipe, tmp_path / "whole")
    merge(recipe, tmp_path / "shards", max_shard_bytes=5000)
    index = json.loads((tmp_path / "shards/unet" / f"{FILE}.index.json").read_text())
    assert len(set(index["weight_map"].values())) > 2
    whole, shards = (load_denoiser(tmp_path / name).weights() for name in ("whole", "shards"))
    assert all(torch.equal(whole[name], shards[name]) for name in whole)


def test_weights_by_block_and_kind(base: Denoiser, make_expert: MakeExpert, tmp_path: Path) -> None:
    rules = [
        {"block": "down", "value": 1.0},
        {"kind": "norm", "value": -1.0},
        {"filter": "time_emb", "value": [0.25, 0.75]},
        {"value": 0.0},
    ]
    values = {
        "base_model": base.name,
        "models": [{"model": str(make_expert("e1", 1)), "parameters": {"weight": rules}}],
    }
    merge(parse_config(MergeRecipe, values), tmp_path / "merged")
    theta, change = base.weights(), load_file(tmp_path / "e1" / WEIGHTS)
    used = set()
    for name, tensor in load_file(tmp_path / "merged" / WEIGHTS).items():
        weight = 0.0
        if name.startswith("down_blocks"):
            weight = 1.0
        elif "norm" in name:
            weight = -1.0
        elif name.startswith("time_embedding"):
            weight = 0.25
        elif "time_emb" in name:
            continue
        used.add(weight)
        expected = theta[name] + weight * (change[name] - theta[name])
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-7)
    assert used == {0.0, 1.0, -1.0, 0.25}


def test_a_component_folder_is_merged_into_one(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path
) -> None:
    merge(recipe, tmp_path / "merged")
    models = [m.model_copy(update={"model": f"{m.model}/unet"}) for m in recipe.models]
    part = recipe.model_copy(update={"base_model": f"{base.name}/unet", "models": models})
    merge(part, tmp_path / "unet")
    assert (tmp_path / "unet/config.json").is_file()
    expected, found = (load_file(tmp_path / f) for f in (f"merged/{WEIGHTS}", f"unet/{FILE}"))
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_one_file_is_merged_into_one_that_carries_its_recipe(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path
) -> None:
    models = [m.model_copy(update={"model": f"{m.model}/{WEIGHTS}"}) for m in recipe.models]
    part = recipe.model_copy(update={"base_model": f"{base.name}/{WEIGHTS}", "models": models})
    with pytest.raises(ConfigError, match=r"Fix: --output .*merged\.safetensors"):
        merge(part, tmp_path / "merged")
    merge(part, tmp_path / "merged.safetensors")
    merge(recipe, tmp_path / "folder")
    found, expected = (load_file(tmp_path / f) for f in ("merged.safetensors", f"folder/{WEIGHTS}"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    stored, folder = read_recipe(tmp_path / "merged.safetensors")
    merge(stored, tmp_path / "again.safetensors", folder)
    first = (tmp_path / "merged.safetensors").read_bytes()
    assert (tmp_path / "again.safetensors").read_bytes() == first


METHOD = """
import torch
from deme.merge import merge_method

@merge_method(paper="mine")
def largest(base, deltas, weights, *, factor=1.0):
    stacked = torch.stack([w * d for w, d in zip(weights, deltas)])
    return base + factor * stacked.gather(0, stacked.abs().argmax(0, keepdim=True))[0]
"""


def test_a_users_own_method_runs_only_when_it_may(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(METHOD)
    own = recipe.model_copy(
        update={
            "method_file": str(tmp_path / "mine.py"),
            "merge_method": "largest",
            "parameters": {"factor": 2.0},
        }
    )
    with pytest.raises(ConfigError, match=r"runs the code of .*mine\.py.*--allow-code"):
        plan_merge(own, Path())
    plan = plan_merge(own, Path(), allow_code=True)
    write_merge(plan, tmp_path / "merged", origin=Path())
    theta = base.weights()
    one, two = (load_file(tmp_path / f / WEIGHTS) for f in ("e1", "e2"))
    for name, tensor in load_file(tmp_path / "merged" / WEIGHTS).items():
        a, b = 0.75 * (one[name] - theta[name]), -0.25 * (two[name] - theta[name])
        expected = theta[name] + 2.0 * torch.where(a.abs() >= b.abs(), a, b)
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"merge_method": "tie"}, "Unknown merge_method 'tie'. Did you mean 'ties'?"),
        ({"parameters": {"density": 0.5}}, "task_arithmetic has no parameter 'density'"),
        ({"merge_method": "ties", "parameters": {"densty": 0.5}}, "Did you mean 'density'?"),
        ({"merge_method": "ties", "parameters": {"density": 7}}, "density is 7"),
        ({"merge_method": "ties", "parameters": {"seed": 7}}, "no parameter 'seed'"),
        ({"merge_method": "slerp"}, "slerp"),
    ],
)
def test_a_wrong_setting_is_found_before_anything_is_written(
    recipe: MergeRecipe, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_merge(recipe.model_copy(update=changes), Path())


def test_mergekits_word_lambda_is_understood(
    base: Denoiser, recipe: MergeRecipe, tmp_path: Path
) -> None:
    for name, factor in (("one", 1.0), ("two", 2.0)):
        changes = {"merge_method": "breadcrumbs", "parameters": {"lambda": factor, "gamma": 0.0}}
        merge(recipe.model_copy(update=changes), tmp_path / name)
    theta = base.weights()
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("one", "two"))
    for name, tensor in theta.items():
        torch.testing.assert_close(two[name] - tensor, 2 * (one[name] - tensor), rtol=0, atol=1e-6)
