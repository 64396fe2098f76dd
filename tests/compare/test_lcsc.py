"""LCSC: what is searched are coefficients of one training's checkpoints that sum to one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from compare.conftest import search_distance, tiny_comparison
from deme.compare.arms.lcsc import LcscArm
from deme.compare.comparison import Comparison
from deme.compare.tasks import sibling
from deme.errors import ConfigError
from deme.files import read_json
from deme.runs import RunContext

Make = Callable[..., Comparison]


def arms(**lcsc: Any) -> dict[str, dict[str, Any]]:
    return {
        "plain": {"kind": "finetune"},
        "lcsc": {"kind": "lcsc", "of": "plain", "evaluations": 4, **lcsc},
    }


def runs_of(comparison: Comparison) -> tuple[RunContext, RunContext]:
    """The run that trained, and the run that searched."""
    arm, setting = comparison.spec.arms["lcsc"], comparison.choice("lcsc", 0).setting
    assert isinstance(arm, LcscArm)
    trained, searched = arm.run(comparison, 0, setting), arm.search_run(comparison, 0, setting)
    return sibling(comparison.context, trained), sibling(comparison.context, searched)


def checkpoints(run: RunContext) -> list[dict[str, Tensor]]:
    """The weights of the pretrained model and of each checkpoint, in order of their steps."""
    assert run.spec.experts is not None
    opened = [run.load_pipeline(Path(expert.path)).weights() for expert in run.spec.experts]
    return [dict(run.base), *opened]


def test_one_checkpoint_with_weight_1_is_that_checkpoint(make_comparison: Make) -> None:
    comparison = make_comparison(arms(checkpoints=1, bounds=[1 - 1e-9, 1.0]))
    _, searched = runs_of(comparison)
    contender = comparison.contender("lcsc", 0)
    assert contender.facts["coefficients"] == pytest.approx([0.0, 1.0], abs=1e-8)
    base, last = checkpoints(searched)
    weights = contender.model.open(comparison.context).weights()
    assert any(not torch.equal(base[name], last[name]) for name in base)
    for name, tensor in weights.items():
        torch.testing.assert_close(tensor, last[name], rtol=0, atol=1e-6)


def test_the_model_is_the_combination_and_the_coefficients_sum_to_one(
    make_comparison: Make,
) -> None:
    comparison = make_comparison(arms(checkpoints=2))
    _, searched = runs_of(comparison)
    contender = comparison.contender("lcsc", 0)
    assert contender.facts["steps"] == [0, 2, 4]
    coefficients = contender.facts["coefficients"]
    assert sum(coefficients) == pytest.approx(1.0)
    own = checkpoints(searched)
    for name, tensor in contender.model.open(comparison.context).weights().items():
        terms = zip(coefficients, own, strict=True)
        expected = sum(c * weights[name].double() for c, weights in terms)
        assert isinstance(expected, Tensor)
        torch.testing.assert_close(tensor.double(), expected, rtol=0, atol=2e-6)


def test_it_is_found_by_evolution_on_the_searchs_noise(make_comparison: Make) -> None:
    comparison = make_comparison(arms(checkpoints=2))
    _, searched = runs_of(comparison)
    found = read_json(searched.store.path / "search" / "result.json")
    contender = comparison.contender("lcsc", 0)
    assert found["strategy"] == "evolution"
    assert contender.cost.search_images == 24 * len(found["evaluations"])
    assert search_distance(comparison, contender.model) == pytest.approx(found["value"], rel=1e-3)
    assert found["value"] <= min(item["value"] for item in found["evaluations"][:1])


def test_the_training_is_that_of_the_arm_and_costs_as_much(make_comparison: Make) -> None:
    comparison = make_comparison(arms(checkpoints=2))
    trained, _ = runs_of(comparison)
    plain, lcsc = (comparison.contender(name, 0) for name in ("plain", "lcsc"))
    repeated = trained.load_pipeline(trained.expert_folder(trained.experts[0])).weights()
    for name, tensor in plain.model.open(comparison.context).weights().items():
        assert torch.equal(tensor, repeated[name])
    assert lcsc.cost.training_steps == plain.cost.training_steps
    assert comparison.choice("lcsc", 0).trials == ()


def test_a_training_that_keeps_these_checkpoints_already_is_not_repeated(tmp_path: Path) -> None:
    kept = {"snapshots": 2, "snapshot_sigmas": [0.01]}
    both = {**arms(checkpoints=2), "plain": {"kind": "finetune", "decouple": kept}}
    comparison = tiny_comparison(tmp_path, both)
    setting = comparison.settings()[0]
    plain, lcsc = (comparison.spec.arms[name].phases(comparison, 0, setting) for name in both)
    assert plain[0] == lcsc[0]


def test_it_is_of_a_finetuning(tmp_path: Path) -> None:
    comparison = tiny_comparison(tmp_path, {**arms(), "plain": {"kind": "pretrained"}})
    with pytest.raises(ConfigError, match="plain is no finetuning"):
        comparison.spec.arms["lcsc"].phases(comparison, 0, comparison.settings()[0])


@pytest.mark.parametrize(
    ("lcsc", "words"),
    [
        ({"decouple": {"weighting": "p2"}}, "give `of` or `decouple`"),
        ({"bounds": [1.0, 0.0]}, "low < high"),
        ({"checkpoints": 0}, "checkpoints"),
    ],
)
def test_a_wrong_arm_is_refused_before_anything_is_trained(
    lcsc: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny_comparison(tmp_path, arms(**lcsc))
