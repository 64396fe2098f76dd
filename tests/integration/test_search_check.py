"""A search that cannot be done is refused before anything is trained for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deme.errors import ConfigError, DemeError
from deme.runs import run_job
from deme.runs.plan import plan
from deme.runs.stages.search_check import require_possible_search
from integration.tiny_run import context_of

IMPOSSIBLE = {
    "merge_method": ("search.merge_method=tiess", "tiess"),
    "parameter": ("search.parameters={denstiy: 0.5}", "denstiy"),
    "negative weights of a mean": ("search.merge_method=fisher", "no meaning for the weight"),
    "a parameter out of its range": (
        "search={merge_method: ties, parameters: {density: [0, 1]}}",
        "density",
    ),
    "strategy": ("search.strategy=grid", "follow from its levels"),  # evaluations are given too
    "clip_score": ("search.objective=clip_score", "captions"),
    "detector": ("detector=nowhere.pt", "nowhere.pt"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_an_impossible_search_is_refused_before_training(name: str, tmp_path: Path) -> None:
    override, words = IMPOSSIBLE[name]
    context = context_of(tmp_path, override)
    with pytest.raises(DemeError, match=words):
        run_job(context)
    assert not (context.store.path / "experts").exists()
    with pytest.raises(DemeError, match=words):
        plan(context, tmp_path)


def test_a_missing_reward_is_refused_before_training(tmp_path: Path) -> None:
    context = context_of(tmp_path, "search.objective=reward", "search.reward=no_such_module:f")
    with pytest.raises(ConfigError, match="no_such_module"):
        run_job(context)
    assert not (context.store.path / "experts").exists()


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("search.per=block",),
        ("search.merge_method=ties", "search.parameters={density: [0.1, 1]}"),
        ("decouple.snapshots=3", "search.snapshots=true"),
    ],
)
def test_a_search_is_planned_while_there_are_no_experts(
    overrides: tuple[str, ...], tmp_path: Path
) -> None:
    context = context_of(tmp_path, *overrides)
    require_possible_search(context)
    candidates = dict(plan(context, tmp_path).rows)["search"]
    assert candidates.startswith("about ") and not context.store.path.exists()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("decouple.snapshots=3", "search.snapshots=true"), "finished weights"),
        (("decouple.projection=block",), "projections"),
    ],
)
def test_statistics_are_of_finished_experts_in_the_stock_architecture(
    overrides: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    context = context_of(tmp_path, "search.merge_method=fisher", "search.bounds=[0, 1]", *overrides)
    with pytest.raises(ConfigError, match=words):
        require_possible_search(context)


def test_steps_are_searched_only_where_there_are_several(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 3"):
        context_of(tmp_path, "decouple.snapshots=2", "search.snapshots=true")
