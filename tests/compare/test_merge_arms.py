"""Merge methods that rival DeMe's sum, on the same experts, each with its own setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from compare.conftest import search_distance, tiny_comparison
from deme.compare.arms.merged import MergedArm
from deme.compare.comparison import Comparison
from deme.compare.models import PipelineModel
from deme.compare.tasks import SearchTask, sibling
from deme.errors import ConfigError
from deme.files import read_json
from deme.merge.statistics import read_statistics
from deme.runs import RunContext
from deme.runs.stages import statistics
from deme.runs.stages.search import find_weights

Make = Callable[..., Comparison]
RIVALS: dict[str, dict[str, Any]] = {
    "ties": {"merge_method": "ties", "parameters": {"density": [0.1, 1.0]}},
    "fisher": {"merge_method": "fisher"},
    "regmean": {"merge_method": "regmean", "parameters": {"alpha": [0.0, 1.0]}},
}
ARMS = {
    "deme": {"kind": "merged"},
    **{name: {"kind": "merged", "of": "deme", "search": own} for name, own in RIVALS.items()},
}


@pytest.fixture(autouse=True)
def _few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "SAMPLES", 4)


def search_of(comparison: Comparison, name: str) -> RunContext:
    """The run that searched an arm's weights."""
    arm = comparison.spec.arms[name]
    assert isinstance(arm, MergedArm)
    spec = arm.search_run(comparison, 0, comparison.choice(name, 0).setting)
    return sibling(comparison.context, spec)


@pytest.mark.parametrize("name", RIVALS)
def test_the_merged_pipeline_is_the_candidate_that_the_search_measured(
    name: str, make_comparison: Make
) -> None:
    comparison = make_comparison({"deme": ARMS["deme"], name: ARMS[name]})
    contender = comparison.contender(name, 0)
    found = read_json(search_of(comparison, name).store.path / "search" / "result.json")
    assert search_distance(comparison, contender.model) == pytest.approx(found["value"], rel=1e-3)
    assert contender.facts["merge_method"] == name
    assert contender.cost.search_images == 24 * contender.facts["candidates"]


def test_a_rival_takes_the_experts_and_the_setting_of_the_arm_that_it_is_of(
    make_comparison: Make, comparisons_folder: Path
) -> None:
    name = "ties"
    rates = {"rates": (1e-3, 1e-4), "averages": (0.1,)}
    make_comparison({"deme": ARMS["deme"]}, **rates)
    trained = set(comparisons_folder.glob("train-*"))
    comparison = make_comparison({"deme": ARMS["deme"], name: ARMS[name]}, **rates)
    assert set(comparisons_folder.glob("train-*")) == trained
    assert comparison.choice(name, 0).setting == comparison.choice("deme", 0).setting
    assert not comparison.choice(name, 0).trials
    own, other = (search_of(comparison, arm).spec.experts for arm in (name, "deme"))
    assert own == other


def test_fisher_weighs_each_element_by_what_was_measured(make_comparison: Make) -> None:
    comparison = make_comparison({"deme": ARMS["deme"], "fisher": ARMS["fisher"]})
    run = search_of(comparison, "fisher")
    contender = comparison.contender("fisher", 0)
    assert isinstance(contender.model, PipelineModel)
    name = "conv_in.weight"
    theta, merged = run.base[name].double(), run.load_pipeline(contender.model.folder).weights()
    change, total = torch.zeros_like(theta), torch.zeros_like(theta)
    for expert, weight in zip(run.experts, contender.facts["weights"], strict=True):
        path = run.store.path / "statistics" / "fisher" / f"{expert.name}.safetensors"
        measured = read_statistics(path)
        assert measured.description.min_timestep == expert.timesteps.low
        assert measured.description.max_timestep == expert.timesteps.high
        importance = measured.tensors[name].double() / measured.description.scale
        importance = weight * importance.clamp(min=1e-6)
        tau = run.load_pipeline(run.expert_folder(expert)).weights()[name].double() - theta
        change += importance * tau
        total += importance
    torch.testing.assert_close(merged[name].double(), theta + change / total, rtol=0, atol=1e-6)
    assert not torch.equal(change, torch.zeros_like(change))


@pytest.mark.parametrize("name", ["fisher", "regmean"])
def test_the_recipe_beside_the_merged_model_names_the_statistics(
    name: str, make_comparison: Make
) -> None:
    run = search_of(make_comparison({"deme": ARMS["deme"], name: ARMS[name]}), name)
    recipe = yaml.safe_load((run.store.path / "merged" / "recipe.yaml").read_text())
    named = [run.store.path / "merged" / model["statistics"] for model in recipe["models"]]
    assert len(set(named)) == 2 and all(path.is_file() for path in named)


@pytest.mark.parametrize("name", RIVALS)
def test_what_is_done_is_found_done(name: str, make_comparison: Make) -> None:
    arms = {"deme": ARMS["deme"], name: ARMS[name]}
    run = search_of(make_comparison(arms), name)
    written = {path: path.stat().st_mtime_ns for path in run.store.path.rglob("*.safetensors")}
    comparison = make_comparison(arms)
    run = search_of(comparison, name)
    assert find_weights(run) is False
    assert SearchTask(run.spec.model_dump_json()).run(comparison.context) is False
    after = {path: path.stat().st_mtime_ns for path in run.store.path.rglob("*.safetensors")}
    assert after == written


def test_means_are_searched_among_weights_of_0_to_1_unless_bounds_are_given(tmp_path: Path) -> None:
    own = {"merge_method": "fisher", "bounds": [0.0, 2.0]}
    wide = {"kind": "merged", "of": "deme", "search": own}
    comparison = tiny_comparison(tmp_path, {**ARMS, "wide": wide})
    setting = comparison.settings()[0]

    def bounds(name: str) -> tuple[float, float]:
        arm = comparison.spec.arms[name]
        assert isinstance(arm, MergedArm)
        return arm.search_run(comparison, 0, setting).search.bounds

    assert {name: bounds(name) for name in ("deme", "ties", "fisher", "wide")} == {
        "deme": (-1.5, 1.5),
        "ties": (-1.5, 1.5),
        "fisher": (0.0, 1.0),
        "wide": (0.0, 2.0),
    }


@pytest.mark.parametrize(
    ("arm", "words"),
    [
        ({"search": {"merge_methd": "ties"}}, "unknown key merge_methd"),
        ({"search": {"merge_method": "tiess"}}, "tiess"),
        ({"search": {"merge_method": "ties", "parameters": {"denstiy": 0.5}}}, "denstiy"),
        ({"search": {"snapshots": True}}, "unknown key snapshots"),
        ({"of": "deme", "decouple": {"p": 0.1}}, "give `of` or `decouple`"),
    ],
)
def test_a_wrong_arm_is_refused_before_anything_is_trained(
    arm: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny_comparison(tmp_path, {"deme": ARMS["deme"], "rival": {"kind": "merged", **arm}})


def test_an_arm_without_experts_cannot_be_merged(tmp_path: Path) -> None:
    arms = {"plain": {"kind": "finetune"}, "rival": {"kind": "merged", "of": "plain"}}
    comparison = tiny_comparison(tmp_path, arms)
    with pytest.raises(ConfigError, match="plain has no experts to merge"):
        comparison.spec.arms["rival"].phases(comparison, 0, comparison.settings()[0])
