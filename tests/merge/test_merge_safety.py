"""Merges that must not go wrong in silence: places, repeats, code, and values that do not fit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from deme.denoisers import Denoiser
from deme.errors import ConfigError, MismatchError, ModelError
from deme.merge import (
    MergeRecipe,
    MergeResult,
    MergeSource,
    plan_merge,
    read_recipe,
    write_merge,
)

MakeExpert = Callable[[str, int], Path]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
METHOD = """
from __future__ import annotations
from dataclasses import dataclass
from deme.merge import merge_method

@dataclass
class Factor:
    value: float = 1.0

@merge_method(paper="mine")
def scaled_sum(base, deltas, weights):
    return base + Factor().value * sum(w * d for w, d in zip(weights, deltas))
"""


def merge(recipe: MergeRecipe, output: Path, folder: Path = Path(), **more: Any) -> MergeResult:
    return write_merge(plan_merge(recipe, folder), output, origin=folder, **more)


@pytest.fixture
def recipe(base: Denoiser, make_expert: MakeExpert) -> MergeRecipe:
    weights = {make_expert("e1", 1): 0.75, make_expert("e2", 2): -0.25}
    models = [
        MergeSource(model=str(path), parameters={"weight": weight})
        for path, weight in weights.items()
    ]
    return MergeRecipe(base_model=base.name, models=models)


def test_a_plan_tells_how_long_and_is_written_more_than_once(
    recipe: MergeRecipe, tmp_path: Path
) -> None:
    """Nothing of an earlier pass counts among the hashes of a later one."""
    plan = plan_merge(recipe.model_copy(update={"dtype": "float16"}), Path())
    first = write_merge(plan, tmp_path / "first", origin=Path())
    assert plan.estimate_seconds(2) > 0
    second = write_merge(plan, tmp_path / "second", origin=Path())
    assert second.recipe == first.recipe
    assert second.losses == first.losses


def test_another_method_file_than_the_recipe_names_is_refused(
    recipe: MergeRecipe, tmp_path: Path
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(METHOD)
    own = recipe.model_copy(update={"method_file": str(file), "merge_method": "scaled_sum"})
    plan = plan_merge(own, Path(), allow_code=True)
    stored = write_merge(plan, tmp_path / "merged", origin=Path()).recipe
    file.write_text(METHOD.replace("1.0", "9.0"))
    with pytest.raises(MismatchError, match=r"mine\.py is not the one that the recipe names"):
        plan_merge(stored, tmp_path / "merged", allow_code=True)
    edited = plan_merge(own, Path(), allow_code=True)
    again = write_merge(edited, tmp_path / "edited", origin=Path()).recipe
    assert again.meaning() != stored.meaning()
    one, nine = (load_file(tmp_path / name / WEIGHTS) for name in ("merged", "edited"))
    theta = load_file(Path(recipe.base_model) / WEIGHTS)
    for name, tensor in theta.items():
        expected = tensor + 9 * (one[name] - tensor)
        torch.testing.assert_close(nine[name], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [("x = 1", "registers no merge method"), ("1 / 0", "failed: ZeroDivisionError")],
)
def test_a_method_file_that_is_none_says_why(
    recipe: MergeRecipe, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "mine.py").write_text(text)
    own = recipe.model_copy(update={"method_file": str(tmp_path / "mine.py")})
    with pytest.raises(ConfigError, match=message):
        plan_merge(own, Path(), allow_code=True)


def test_values_beyond_half_precision_are_an_error(recipe: MergeRecipe, tmp_path: Path) -> None:
    weights = load_file(tmp_path / "e1" / WEIGHTS)
    weights["conv_in.bias"] += 1e6
    save_file(weights, tmp_path / "e1" / WEIGHTS)
    with pytest.raises(MismatchError, match=r"conv_in\.bias has values up to .* beyond float16"):
        merge(recipe.model_copy(update={"dtype": "float16"}), tmp_path / "merged")
    merge(recipe.model_copy(update={"dtype": "bfloat16"}), tmp_path / "merged")


def test_an_expert_of_weight_0_may_hold_anything(recipe: MergeRecipe, tmp_path: Path) -> None:
    weights = load_file(tmp_path / "e1" / WEIGHTS)
    weights["conv_in.bias"][0] = torch.nan
    save_file(weights, tmp_path / "e1" / WEIGHTS)
    off = recipe.models[0].model_copy(update={"parameters": {"weight": 0.0}})
    for method in ("task_arithmetic", "ties"):
        changes = {"models": [off, recipe.models[1]], "merge_method": method}
        merge(recipe.model_copy(update=changes), tmp_path / method)


def test_links_on_the_way_do_not_break_a_recipe(
    recipe: MergeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "real" / "deep" / "er").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "deep" / "er")
    models = [m.model_copy(update={"model": Path(m.model).name}) for m in recipe.models]
    local = recipe.model_copy(update={"base_model": "base", "models": models})
    merge(local, Path("link/merged"))
    stored, folder = read_recipe(tmp_path / "link" / "merged")
    merge(stored, tmp_path / "again", folder)
    one, two = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("link/merged", "again"))
    assert one == two


def test_a_recipe_does_not_take_what_lies_in_the_working_directory(
    recipe: MergeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    local = recipe.model_copy(update={"base_model": "base"})
    with pytest.raises(ConfigError, match="base is in the working directory, and there is none in"):
        plan_merge(local, tmp_path / "elsewhere")


def test_a_base_cannot_name_files_outside_its_folder(recipe: MergeRecipe, tmp_path: Path) -> None:
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "key").write_text("secret")
    index = Path(recipe.base_model) / "model_index.json"
    names = json.loads(index.read_text())
    index.write_text(json.dumps({**names, "../private": [None, None]}))
    with pytest.raises(ModelError, match=r"'\.\./private', which is not in its own folder"):
        merge(recipe, tmp_path / "out" / "merged")
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_merge_is_never_replaced(recipe: MergeRecipe, tmp_path: Path) -> None:
    models = [m.model_copy(update={"model": f"{m.model}/{WEIGHTS}"}) for m in recipe.models]
    changes = {"base_model": f"{recipe.base_model}/{WEIGHTS}", "models": models}
    part = recipe.model_copy(update=changes)
    precious = tmp_path / "precious.safetensors"
    save_file({"a": torch.zeros(2)}, precious)
    before = precious.read_bytes()
    with pytest.raises(ConfigError, match="exists and is no merge"):
        merge(part, precious, overwrite=True)
    assert precious.read_bytes() == before
    merge(part, tmp_path / "merged.safetensors")
    merge(part, tmp_path / "merged.safetensors", overwrite=True)
    with pytest.raises(ConfigError, match="is a file, and what would replace it is none"):
        merge(recipe, tmp_path / "merged.safetensors", overwrite=True)


def test_a_file_repeated_elsewhere_has_the_same_size(recipe: MergeRecipe, tmp_path: Path) -> None:
    """Its recipe names other places; the tensors stay where they are."""
    models = [m.model_copy(update={"model": f"{m.model}/{WEIGHTS}"}) for m in recipe.models]
    changes = {"base_model": f"{recipe.base_model}/{WEIGHTS}", "models": models}
    merge(recipe.model_copy(update=changes), tmp_path / "m.safetensors")
    stored, folder = read_recipe(tmp_path / "m.safetensors")
    merge(stored, tmp_path / "some" / "where" / "else.safetensors", folder)
    one, two = (
        (tmp_path / name).stat().st_size
        for name in ("m.safetensors", "some/where/else.safetensors")
    )
    assert one == two


def test_projections_beside_a_component_folder_stay_with_it(
    recipe: MergeRecipe, base: Denoiser, tmp_path: Path
) -> None:
    from deme.decouple import attach_projections

    with_projections = base.clone()
    attach_projections(with_projections, "block")
    (tmp_path / "p").mkdir()
    with_projections.save(tmp_path / "p")
    path = f"{recipe.models[0].model}/unet"
    models = [MergeSource(model=path, parameters={"weight": 0.5})]
    merge(MergeRecipe(base_model=str(tmp_path / "p" / "unet"), models=models), tmp_path / "merged")
    assert (tmp_path / "merged" / "channel_projections.safetensors").is_file()
    stored, folder = read_recipe(tmp_path / "merged")
    again = stored.model_copy(update={"base_model": str(tmp_path / "merged"), "base_hash": None})
    assert "channel_projections" in plan_merge(again, folder).base.components
