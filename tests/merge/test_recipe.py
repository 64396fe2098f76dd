"""Recipes as files, and what merging adds to them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from deme.denoisers import Denoiser
from deme.errors import ConfigError
from deme.files import write_json
from deme.merge import MergeRecipe, MergeSource, plan_merge, read_recipe, write_merge
from deme.merge.compression import compress_expert
from deme.merge.recipe import located, relocated
from deme.merge.sources.opening import open_expert, open_model

MakeExpert = Callable[[str, int], Path]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"

RECIPE = """
merge_method: ties
base_model: base
parameters: {density: 0.5, lambda: 1.25}
models:
  - model: e1
    parameters:
      weight:
        - {component: unet, block: down, kind: resnet, value: [0, 0.5, 1]}
        - {filter: time_emb, value: 1e-1}
        - {value: 0.2}
      density: 0.7
  - model: e2
    min_timestep: 0
    max_timestep: 250
    parameters: {weight: -0.3}
"""


def test_a_recipe_of_mergekits_words_is_merged(
    base: Denoiser, make_expert: MakeExpert, tmp_path: Path
) -> None:
    make_expert("e1", 1)
    make_expert("e2", 2)
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    recipe, folder = read_recipe(tmp_path / "recipe.yaml")
    assert folder == tmp_path
    result = write_merge(plan_merge(recipe, folder), tmp_path / "out" / "merged", origin=folder)
    stored, again = read_recipe(tmp_path / "out" / "merged")
    assert stored == result.recipe
    assert stored.models[0].parameters == recipe.models[0].parameters
    assert (stored.models[1].min_timestep, stored.models[1].max_timestep) == (0, 250)
    assert [stored.base_model, *(m.model for m in stored.models)] == [
        "../../base",
        "../../e1",
        "../../e2",
    ]
    write_merge(plan_merge(stored, again), tmp_path / "out" / "again", origin=again)
    one, two = (load_file(tmp_path / "out" / name / WEIGHTS) for name in ("merged", "again"))
    assert all((one[name] == two[name]).all() for name in one)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a list", "holds no recipe"),
        ("a: [", "is not valid YAML"),
        ("base_model: x\nmodels: []", "at least 1 item"),
        ("models: [{model: x}]", "base_model: required"),
        ("base_model: x\nmodels: [{model: y, wieght: 1}]", "wieght: unknown key"),
        ("base_model: x\nmodels: [{model: y}]\ndtype: fp16", "dtype: must be one of"),
        (
            "base_model: x\nmodels: [{model: y, parameters: {weight: [{kind: norms, value: 1}]}}]",
            "Did you mean 'norm'?",
        ),
    ],
)
def test_a_wrong_recipe_says_where(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(ConfigError) as raised:
        read_recipe(tmp_path / "recipe.yaml")
    assert message in str(raised.value)


def test_without_a_recipe_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No recipe at"):
        read_recipe(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_recipe(tmp_path / "x.safetensors")


def test_the_meaning_is_of_weights_and_settings_and_not_of_places() -> None:
    one = MergeRecipe(base_model="a", base_hash="1", models=[MergeSource(model="x", hash="2")])
    moved = MergeRecipe(base_model="b", base_hash="1", models=[MergeSource(model="y", hash="2")])
    other = MergeRecipe(base_model="a", base_hash="1", models=[MergeSource(model="x", hash="3")])
    assert one.meaning() == moved.meaning()
    assert one.meaning() != other.meaning()
    assert one.meaning() != one.model_copy(update={"seed": 1}).meaning()


def test_paths_move_with_the_recipe_and_other_names_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a" / "model").mkdir(parents=True)
    (tmp_path / "a" / "digits").mkdir()
    origin, target = tmp_path / "a", tmp_path / "b" / "c"
    assert relocated("model", origin, target) == "../../a/model"
    for name in ("google/ddpm-cifar10-32", str(tmp_path / "a" / "model"), "digits"):
        assert relocated(name, origin, target) == name
    assert located("model", origin) == str(tmp_path / "a" / "model")
    assert located("../../a/model", tmp_path / "not" / "there") == str(tmp_path / "a" / "model")
    assert located("digits", origin) == "digits"
    monkeypatch.chdir(origin)
    assert relocated("model", Path(), Path("../d")) == "../a/model"


def test_the_range_of_an_expert_is_known_from_its_trainer_or_compressor(
    base: Denoiser, make_expert: MakeExpert, tmp_path: Path
) -> None:
    write_json(make_expert("e1", 1) / "training.json", {"timesteps": [250, 500]})
    model = open_model(base.name)
    expert = open_expert(str(make_expert("e2", 2)), model)
    compressed = tmp_path / "e2.safetensors"
    compress_expert(model, expert, compressed, min_timestep=500, max_timestep=1000)
    own = MergeSource(model=str(tmp_path / "e2"), min_timestep=1, max_timestep=2)
    sources = [MergeSource(model=str(tmp_path / "e1")), MergeSource(model=str(compressed)), own]
    recipe = MergeRecipe(base_model=base.name, models=sources)
    planned = plan_merge(recipe, Path()).recipe
    ranges = [(source.min_timestep, source.max_timestep) for source in planned.models]
    assert ranges == [(250, 500), (500, 1000), (1, 2)]
    stored = json.loads(planned.to_json())
    assert stored["models"][0]["min_timestep"] == 250


def test_a_compressed_expert_merges_to_the_same_bits(
    base: Denoiser, make_expert: MakeExpert, tmp_path: Path
) -> None:
    path = make_expert("e1", 1)
    model = open_model(base.name)
    compress_expert(model, open_expert(str(path), model), tmp_path / "e1.safetensors")
    for name, source in (("plain", path), ("small", tmp_path / "e1.safetensors")):
        models = [MergeSource(model=str(source), parameters={"weight": 0.7})]
        recipe = MergeRecipe(base_model=base.name, models=models)
        write_merge(plan_merge(recipe, Path()), tmp_path / name, origin=Path())
    one, two = (load_file(tmp_path / name / WEIGHTS) for name in ("plain", "small"))
    assert all((one[name] == two[name]).all() for name in one)
