"""Every space, objective and kind of strategy through the stages, on one set of experts."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deme.files import read_json
from deme.merge import read_weights
from deme.merge.places import places_of
from deme.merge.recipe import read_recipe
from deme.merge.settings import resolve_number
from deme.report import search_lines
from deme.runs import RunContext, run_job
from deme.runs.stages.search_bench import search_space, snapshot_vectors
from integration.tiny_run import context_of

EXPERTS = ("decouple.ranges=2", "decouple.snapshots=3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    context = context_of(tmp_path_factory.mktemp("trained"), *EXPERTS)
    run_job(context, ["experts"])
    return context.store.path


def searched(trained: Path, output: Path, *overrides: str) -> tuple[RunContext, dict[str, Any]]:
    context = context_of(output, *EXPERTS, *overrides)
    shutil.copytree(trained, context.store.path)
    run_job(context, ["experts", "search", "merge"])
    result = read_json(context.store.path / "search" / "result.json")
    assert search_lines(result)
    return context, result


def reward(images: Tensor) -> Tensor:
    """The brighter the better."""
    return images.float().mean(dim=(1, 2, 3))


def test_blocks_are_searched_outwards_from_whole_experts(trained: Path, tmp_path: Path) -> None:
    context, result = searched(trained, tmp_path, "search.per=block", "search.evaluations=4")
    space = search_space(context)
    points = [item["point"] for item in result["evaluations"]]
    whole = [space.lifted(tuple(point[:2])) == tuple(point) for point in points]
    assert all(whole[: len(space.anchors())]) and whole[-4:] == [False] * 4
    assert whole == sorted(whole, reverse=True)  # never back to whole experts
    _is_the_weighted_sum(context, tuple(result["point"]))


def _is_the_weighted_sum(context: RunContext, candidate: tuple[float, ...]) -> None:
    """``merged/`` against Eq. 8, tensor by tensor."""
    point = search_space(context).at(candidate)
    vectors = context.task_vectors
    if point.snapshots:
        vectors = snapshot_vectors(context, point.snapshots)
    places = places_of(context.denoiser.component, context.base)
    merged = read_weights(context.store.path / "merged")
    for name, tensor in merged.items():
        expected = context.base[name].clone()
        for setting, vector in zip(point.weights, vectors, strict=True):
            expected += resolve_number(setting, places[name]) * vector[name]
        torch.testing.assert_close(tensor, expected, rtol=0, atol=1e-6)


def test_a_common_scale_is_searched(trained: Path, tmp_path: Path) -> None:
    context, result = searched(trained, tmp_path, "search.per=scale")
    assert len(result["point"]) == 1 and len({*result["weights"]}) == 1
    _is_the_weighted_sum(context, tuple(result["point"]))


def test_a_methods_parameters_are_searched_with_the_weights(trained: Path, tmp_path: Path) -> None:
    context, result = searched(
        trained,
        tmp_path,
        "search.merge_method=ties",
        "search.parameters={density: [0.2, 0.9]}",
    )
    densities = {item["point"][2] for item in result["evaluations"]}
    assert len(densities) > 1 and all(0.2 <= density <= 0.9 for density in densities)
    recipe, _ = read_recipe(context.store.path / "merged" / "recipe.yaml")
    assert recipe.merge_method == "ties"
    assert recipe.parameters["density"] == result["point"][2]


def test_a_snapshot_of_each_expert_is_chosen(trained: Path, tmp_path: Path) -> None:
    context, result = searched(trained, tmp_path, "search.snapshots=true")
    point = search_space(context).at(tuple(result["point"]))
    assert len(point.snapshots) == 2
    steps = {item["point"][2] for item in result["evaluations"]}
    assert len(steps) > 1 and all(4 <= step <= 6 for step in steps)
    _is_the_weighted_sum(context, tuple(result["point"]))


@pytest.mark.parametrize(
    "overrides",
    [
        ("search.objective=kid",),
        ("search.objective=cmmd",),
        ("search.objective=loss", "evaluate.validation_images=32"),
        ("search.objective={frechet: 1, kid: 0.01}",),
        ("search.strategy=gradient", "evaluate.validation_images=32"),
        ("search.strategy=gp",),
        ("search.strategy=cmaes", "search.promotions=[16]", "search.evaluations=8"),
        ("search.promotions=[16]", "search.per=block", "search.evaluations=2"),
    ],
    ids=lambda overrides: overrides[0].removeprefix("search."),
)
def test_objectives_and_strategies_go_through(
    overrides: tuple[str, ...], trained: Path, tmp_path: Path
) -> None:
    context, result = searched(trained, tmp_path, *overrides)
    values = [item["value"] for item in result["evaluations"] if item["images"] == 48]
    assert math.isfinite(result["value"]) and result["value"] == min(values)
    assert result["fresh"]["value"] != result["value"] or "loss" in overrides[0]
    _is_the_weighted_sum(context, tuple(result["point"]))


def test_a_reward_of_ones_own_is_maximised(trained: Path, tmp_path: Path) -> None:
    _, result = searched(
        trained,
        tmp_path,
        "search.objective=reward",
        "search.reward=integration.test_search_variants:reward",
    )
    pretrained = next(a["value"] for a in result["anchors"] if a["name"] == "pretrained")
    assert result["value"] <= pretrained < 0


def test_two_objectives_have_a_front(trained: Path, tmp_path: Path) -> None:
    _, result = searched(
        trained,
        tmp_path,
        "search.strategy=nsga2",
        "search.pareto=[frechet, loss]",
        "search.evaluations=6",
        "evaluate.validation_images=32",
    )
    assert result["objectives"] == ["frechet", "loss"]
    front = [tuple(item["values"]) for item in result["pareto"]]
    assert front
    for a in front:
        assert not any(b != a and b[0] <= a[0] and b[1] <= a[1] for b in front)
