"""Pruned networks as arms: one budget, kept fractions chosen by what was measured."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from compare.conftest import tiny_comparison
from deme.compare.arms.diff_pruning import DiffPruningArm
from deme.compare.arms.pruning_tasks import PruningPlan, measured, step_shares
from deme.compare.comparison import Comparison, levels
from deme.compare.models import PipelineModel, RoutedModel
from deme.errors import ConfigError
from deme.runs.flops import forward_flops

Make = Callable[..., Comparison]
ARMS: dict[str, dict[str, Any]] = {
    "pruned": {"kind": "pruned", "kept": 0.5, "images": 8},
    "diff": {"kind": "diff_pruning", "kept": 0.8, "images": 8, "ratios": [1.0, 0.5, 0.1]},
}


@pytest.fixture(autouse=True)
def no_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate collects garbage after each training, which takes longer than a tiny one."""
    monkeypatch.setattr("accelerate.utils.memory.gc.collect", lambda *args: 0)


@pytest.fixture(scope="module")
def made(comparisons_folder: Path) -> Comparison:
    """Both arms, made once."""
    comparison = tiny_comparison(comparisons_folder, ARMS)
    for names in levels(dict(comparison.spec.arms)):
        comparison.make(names)
    return comparison


def plan_of(comparison: Comparison, name: str = "diff") -> PruningPlan:
    arm = comparison.arm(name)
    assert isinstance(arm, DiffPruningArm)
    return arm.plan(comparison, 0, comparison.settings()[0])


def test_the_choice_is_the_best_of_all_within_the_budget(made: Comparison) -> None:
    plan = plan_of(made)
    assert plan.widths == ((6, 6), (4, 4), (2, 2))
    distances, shares = measured(made.context, plan), step_shares(made.context, plan.partition)
    best = min(
        (
            pair
            for pair in itertools.product(range(3), repeat=2)
            if sum(s * plan.fractions[c] for s, c in zip(shares, pair, strict=True)) <= 0.8
        ),
        key=lambda pair: sum(row[c] for row, c in zip(distances, pair, strict=True)),
    )
    facts = made.contender("diff", 0).facts
    assert [entry["widths"] for entry in facts["intervals"]] == [list(plan.widths[c]) for c in best]
    assert facts["kept"] <= 0.8
    assert facts["candidates"]["distances"] == distances


def test_each_interval_has_a_plain_pipeline_of_its_own(made: Comparison) -> None:
    contender = made.contender("diff", 0)
    assert isinstance(contender.model, RoutedModel)
    assert contender.model.boundaries == (0, 500, 1000)
    for part, entry in zip(contender.model.parts, contender.facts["intervals"], strict=True):
        assert isinstance(part, PipelineModel)
        unet = diffusers.DiffusionPipeline.from_pretrained(part.folder).unet
        assert list(unet.config.block_out_channels) == entry["widths"]
        assert sum(p.numel() for p in unet.parameters()) == entry["parameters"]
        own = forward_flops(made.context.denoiser)
        assert forward_flops(part.open(made.context)) == pytest.approx(entry["kept"] * own)


def test_all_trainings_together_take_the_budget(made: Comparison) -> None:
    plan, contender = plan_of(made), made.contender("diff", 0)
    final = [plan.final_steps(interval) for interval in range(2)]
    assert plan.probes * plan.probe_steps + sum(final) == made.budget_steps == 4
    assert contender.cost.training_steps == 4
    assert contender.cost.training_images == 4 * 4 + 8 * 4  # two pruned candidates × two intervals
    assert contender.cost.search_images == 6 * 24
    plain = made.flops_per_step(plan.spec)
    assert plain and contender.cost.training_flops
    assert contender.cost.training_flops < plain * (4 + 8 * 4 / 4)


@pytest.mark.parametrize(("budget", "probing"), [(4000, 0.25), (4001, 0.1), (5, 0.5), (0, 0.25)])
def test_steps_add_up_at_any_budget(tmp_path: Path, budget: int, probing: float) -> None:
    arm = {**ARMS["diff"], "probing": probing, "intervals": [300, 600]}
    comparison = tiny_comparison(tmp_path, {"diff": arm})
    plan = plan_of(comparison)
    values = {**vars(plan), "steps": budget, "probe_steps": int(budget * probing) // plan.probes}
    plan = PruningPlan(**values)
    assert plan.boundaries == (0, 300, 600, 1000)
    steps = [plan.final_steps(interval) for interval in range(3)]
    assert plan.probes == 9 and min(steps) >= 0 and max(steps) - min(steps) <= 1
    assert sum(steps) + plan.probes * plan.probe_steps == budget


def test_one_pruned_network_for_all_timesteps(made: Comparison) -> None:
    contender = made.contender("pruned", 0)
    assert isinstance(contender.model, PipelineModel)
    (entry,) = contender.facts["intervals"]
    assert entry["timesteps"] == [0, 1000] and entry["sampler_steps"] == 1
    assert contender.facts["kept"] == entry["kept"] == pytest.approx(0.5, abs=0.25)
    assert contender.cost.training_steps == made.budget_steps
    assert contender.cost.search_images == 0


def test_what_is_done_is_found_done(made: Comparison, make_comparison: Make) -> None:
    folder = made.context.store.path / "arms"
    written = {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")}
    again = make_comparison(ARMS)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.*")} == written
    for name in ARMS:
        for phase in again.arm(name).phases(again, 0, again.settings()[0]):
            for task in phase:
                assert not pickle.loads(pickle.dumps(task)).run(again.context)


def test_arms_of_several_budgets_share_their_candidates(made: Comparison) -> None:
    plan = plan_of(made)
    setting = made.settings()[0]
    other = DiffPruningArm(**{**ARMS["diff"], "kept": 0.5})
    one, two = (arm.phases(made, 0, setting) for arm in (made.arm("diff"), other))
    assert one[0] == two[0] and len(one[0]) == plan.probes
    assert not set(one[1]) & set(two[1])


def test_another_average_is_another_model_of_the_same_widths(make_comparison: Make) -> None:
    comparison = make_comparison({"pruned": ARMS["pruned"]}, averages=(0.1,))
    setting = comparison.settings()[0]
    averaged = comparison.spec.trials.averages[0]
    one = comparison.contender("pruned", 0, setting).model
    two = comparison.contender("pruned", 0, type(setting)(setting.learning_rate, averaged)).model
    assert one.digest != two.digest
    first, second = (model.open(comparison.context).weights() for model in (one, two))
    assert {n: w.shape for n, w in first.items()} == {n: w.shape for n, w in second.items()}
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_a_budget_that_no_candidate_keeps_is_refused_before_training(tmp_path: Path) -> None:
    arm = {**ARMS["diff"], "kept": 0.1}
    comparison = tiny_comparison(tmp_path, {"diff": arm})
    with pytest.raises(ConfigError, match=r"budget of 0\.1 cannot be kept"):
        comparison.arm("diff").phases(comparison, 0, comparison.settings()[0])
