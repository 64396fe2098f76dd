"""The spec: what decides a run, short forms, overrides, and errors that teach."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from deme.errors import ConfigError
from deme.runs import RunSpec, list_recipes, load_spec
from deme.runs.template import commented_template

MINIMAL = {"model": "digits", "data": "digits"}


def test_short_forms_are_the_long_ones() -> None:
    long = {"model": {"path": "digits"}, "data": {"dataset": "digits"}}
    assert RunSpec.model_validate(MINIMAL) == RunSpec.model_validate(long)


def test_the_digest_is_of_the_meaning() -> None:
    base = RunSpec.model_validate(MINIMAL)
    renamed = RunSpec.model_validate({**MINIMAL, "name": "other", "runtime": {"workers": 3}})
    assert renamed.digest() == base.digest()
    for change in ({"seed": 1}, {"decouple": {"p": 0.5}}, {"search": {"images": 10}}):
        assert RunSpec.model_validate({**MINIMAL, **change}).digest() != base.digest()


def test_the_digest_names_a_folder() -> None:
    spec = RunSpec.model_validate(MINIMAL)
    assert re.fullmatch("[0-9a-f]{8}", spec.digest())
    assert spec.digest() == RunSpec.model_validate_json(spec.model_dump_json()).digest()


@pytest.mark.parametrize("name", ["", "..", "a/b", "a\\b"])
def test_a_name_is_a_folder_name(name: str) -> None:
    with pytest.raises(ValueError, match="plain folder name"):
        RunSpec.model_validate({**MINIMAL, "name": name})


def test_search_noise_must_not_judge() -> None:
    with pytest.raises(ValueError, match="never saw"):
        RunSpec.model_validate({**MINIMAL, "search": {"seed": 2000}})


def test_seeds_must_differ() -> None:
    with pytest.raises(ValueError, match="different from each other"):
        RunSpec.model_validate({**MINIMAL, "evaluate": {"seeds": [1, 1, 2]}})


def test_overrides_read_yaml_values() -> None:
    spec = load_spec(
        "digits",
        ["decouple.learning_rate=2e-4", "evaluate.seeds=[7, 8]", "data.max_images=10", "seed=5"],
    )
    assert spec.decouple.learning_rate == pytest.approx(2e-4)
    assert spec.evaluate.seeds == (7, 8)
    assert spec.data.dataset == "digits" and spec.data.max_images == 10
    assert spec.seed == 5


def test_an_override_without_a_value_says_how_to_write_one() -> None:
    with pytest.raises(ConfigError, match=r"--set decouple\.steps=500"):
        load_spec("digits", ["decouple.steps"])


def test_an_unknown_recipe_lists_the_recipes() -> None:
    with pytest.raises(ConfigError) as raised:
        load_spec("digit")
    assert str(raised.value).startswith(
        "'digit' is neither a YAML file here nor a shipped recipe. Did you mean 'digits'? "
        "Choices: bedroom, bedroom-recommended, church, church-recommended, cifar10, "
        "cifar10-recommended, digits, fashion-mnist."
    )


@pytest.mark.parametrize("text", ["a: [", "- 1", "\0"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"my\.yaml"):
        load_spec(str(path))


def test_the_files_name_names_the_run(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(MINIMAL))
    assert load_spec(str(path)).name == "mine"


def test_every_recipe_loads() -> None:
    for name in list_recipes():
        assert load_spec(name).name == name


def test_the_template_is_every_default(tmp_path: Path) -> None:
    values = yaml.safe_load(commented_template())
    spec = RunSpec.model_validate(values)
    same = {"model": values["model"]["path"], "data": values["data"]["dataset"]}
    assert spec == RunSpec.model_validate(same)
    assert all(len(line) <= 100 for line in commented_template().splitlines())
