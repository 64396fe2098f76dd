"""The surface strategy on problems whose optimum is known."""

import pytest

from deme.search import Box, Evaluation, FrechetObjective, SurfaceStrategy, surface_budget
from search.gaussian_problem import TABLE, GaussianProblem, run

IMAGES = 500


def strategy_for(problem: GaussianProblem, **options: object) -> SurfaceStrategy:
    objective = FrechetObjective(problem.reference, TABLE)
    return SurfaceStrategy(problem.box, objective, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("experts", "seed"), [(1, 0), (2, 0), (2, 1), (4, 0), (4, 1)])
def test_it_finds_what_the_search_could_find(experts: int, seed: int) -> None:
    problem = GaussianProblem(4, experts, seed)
    found = run(strategy_for(problem), problem, IMAGES)
    best = min(item.value for item in found)
    optimum = problem.sample_optimum(IMAGES).value
    zero = found[0].value
    assert best - optimum < 0.01 * (zero - optimum)
    assert len(found) <= len(problem.anchors) + surface_budget(experts)


def test_it_ends_before_its_budget_once_nothing_is_gained() -> None:
    problem = GaussianProblem(4, 2)
    found = run(strategy_for(problem, evaluations=100), problem, IMAGES)
    assert len(found) < 40


def test_a_replay_asks_for_the_same() -> None:
    problem = GaussianProblem(4, 2)
    first = run(strategy_for(problem), problem, IMAGES)
    second = run(strategy_for(problem), problem, IMAGES)
    assert [item.candidate for item in first] == [item.candidate for item in second]


def test_candidates_stay_in_the_box_and_are_new() -> None:
    problem = GaussianProblem(4, 3, box=Box((-0.2, 0.0, -0.1), (0.3, 0.4, 0.2)))
    found = run(strategy_for(problem), problem, IMAGES)[len(problem.anchors) :]
    for item in found:
        assert problem.box.clip(item.candidate) == item.candidate
    assert len({item.candidate for item in found}) == len(found) > 2


def test_it_says_what_it_expected() -> None:
    problem = GaussianProblem(4, 2)
    found = run(strategy_for(problem), problem, IMAGES)[len(problem.anchors) :]
    assert {item.notes["reason"] for item in found} <= {"lowest prediction", "uncertainty"}
    first = found[0]
    assert float(first.notes["predicted"]) == pytest.approx(first.value, rel=0.5)


def test_without_anchors_it_begins_with_a_spread_design() -> None:
    problem = GaussianProblem(4, 2)
    strategy = strategy_for(problem)
    proposals = strategy.ask()
    assert [item.notes["reason"] for item in proposals] == ["design", "design"]


def test_values_that_are_not_finite_are_passed_over() -> None:
    problem = GaussianProblem(4, 2)
    strategy = strategy_for(problem, evaluations=6)
    anchors = [
        Evaluation(anchor, IMAGES, (float("inf"),), problem.tables(anchor, IMAGES))
        for anchor in problem.anchors
    ]
    strategy.begin(anchors)
    asked = 0
    while proposals := strategy.ask():
        asked += len(proposals)
        strategy.tell(
            [Evaluation(p.candidate, IMAGES, (float("inf"),), {}, p.notes) for p in proposals]
        )
    assert 0 < asked <= 6


def test_its_budget_counts_what_it_asks() -> None:
    problem = GaussianProblem(4, 3)
    found = run(strategy_for(problem, evaluations=5, batch=3), problem, IMAGES)
    assert len(found) == len(problem.anchors) + 5


def test_the_best_anchor_may_lie_outside_the_box() -> None:
    """A region around it would hold the box's border alone, and the search would end at once."""
    problem = GaussianProblem(4, 3, box=Box.cube((0.2, 2.0), 3))
    found = run(strategy_for(problem), problem, IMAGES)
    inside = [e for e in found if problem.box.clip(e.candidate) == e.candidate]
    outside = [e for e in found if e not in inside]
    assert min(e.value for e in outside) < min(e.value for e in inside)
    optimum = problem.sample_optimum(IMAGES).value
    worst = found[0].value
    assert min(e.value for e in inside) - optimum < 0.01 * (worst - optimum)
