"""A pretraining's configuration: what decides its weights, short forms, and errors that teach."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from deme.config import parse_config
from deme.denoisers import ModelConfig
from deme.errors import ConfigError
from deme.runs.pretrain_architectures import SHIPPED
from deme.runs.pretrain_loading import list_pretrainings, load_pretraining
from deme.runs.pretrain_spec import PretrainSpec

MINIMAL: dict[str, Any] = {"model": "ddpm-tiny-16", "data": "digits"}


def spec_of(**values: Any) -> PretrainSpec:
    return parse_config(PretrainSpec, {**MINIMAL, **values})


def test_one_word_is_an_architecture_a_folder_or_a_hub_id(tmp_path: Path) -> None:
    assert spec_of().model.architecture == "ddpm-tiny-16"
    for path in (str(tmp_path), "google/ddpm-cifar10-32", "digits"):
        assert spec_of(model=path).model.path == path


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"runtime": {"threads": 1}},
        {"samples": {"images": 4}},
        {"detector": "digits"},
        {"evaluate": {"images": 100}},
    ],
)
def test_how_it_is_measured_names_no_other_folder(change: dict[str, Any]) -> None:
    assert spec_of(**change).digest() == spec_of().digest()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"training": {"steps": 7}},
        {"scheduler": {"beta_end": 0.03}},
        {"model": {"architecture": "ddpm-tiny-16", "changes": {"dropout": 0.1}}},
        {"model": "ddpm-tiny-28"},
        {"plateau": {"rounds": 2}, "detector": "digits"},
    ],
)
def test_what_decides_the_weights_names_another_folder(change: dict[str, Any]) -> None:
    assert spec_of(**change).digest() != spec_of().digest()


def test_measuring_names_the_folder_where_it_ends_the_training() -> None:
    rounds = {"plateau": {"rounds": 2}, "detector": "digits"}
    assert spec_of(**rounds).digest() != spec_of(**rounds, evaluate={"images": 9}).digest()


def test_a_shipped_name_means_its_configuration() -> None:
    inline = spec_of(model={"architecture": SHIPPED["ddpm-tiny-16"]})
    assert inline.digest() == spec_of().digest()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": "ddpm-tiny"}, ("no architecture is called so", "ddpm-tiny-28")),
        ({"model": {}}, ("either an architecture or a path",)),
        ({"model": {"path": "a/b", "changes": {"dropout": 0.1}}}, ("changes need random",)),
        ({"model": "a/b", "scheduler": {"beta_end": 0.03}}, ("a path brings its own",)),
        ({"plateau": {"rounds": 2}}, ("needs a detector",)),
        ({"plateau": {"seeds": [1, 2000]}}, ("2000 is among both",)),
        ({"plateau": {"seeds": [1, 1]}}, ("different from each other",)),
        ({"name": "a/b"}, ("plain folder name",)),
        ({"training": {"stepz": 5}}, ("training.stepz", "Did you mean 'steps'")),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as raised:
        spec_of(**values)
    assert all(word in str(raised.value) for word in words), raised.value


def test_it_is_a_run_of_one_range_and_no_method() -> None:
    run = spec_of(training={"steps": 7, "antithetic": False}).as_run(ModelConfig(path="x"))
    config = run.decouple
    assert len(config.partition(1000)) == 1
    assert (config.p, config.consistency, config.projection) == (0, 0, "none")
    assert (config.steps, config.antithetic) == (7, False)
    assert not run.joint.enabled


def test_overrides_reach_into_a_model_that_is_one_word(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("model: ddpm-tiny-16\ndata: digits\n")
    spec = load_pretraining(str(path), ["model.changes.dropout=0.1", "training.steps=9"])
    assert spec.name == "mine" and spec.model.architecture == "ddpm-tiny-16"
    assert spec.model.changes == {"dropout": 0.1} and spec.training.steps == 9


@pytest.mark.parametrize("name", list_pretrainings())
def test_every_shipped_pretraining_loads_and_says_what_it_is(name: str) -> None:
    assert load_pretraining(name).name == name
    assert len(list_pretrainings()[name]) > 20


def test_the_configuration_in_the_document_is_valid(tmp_path: Path) -> None:
    document = Path(__file__).parents[2] / "docs" / "pretraining.md"
    (block,) = re.findall(r"^```yaml\n(.*?)^```", document.read_text("utf-8"), re.DOTALL | re.M)
    (tmp_path / "mine.yaml").write_text(block)
    assert load_pretraining(str(tmp_path / "mine.yaml")).model.architecture == "ddpm-tiny-28"


def test_an_unknown_name_lists_the_shipped_ones() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'fashion-mnist'"):
        load_pretraining("fashionmnist")
