"""The loop: anchors first, every candidate paid for once, and kills that change nothing."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from deme.errors import TrainingError
from deme.search.evaluation import Evaluation, Proposal
from deme.search.loop import SearchResult
from deme.search.measuring import Measurement
from deme.search.result import pareto_front
from deme.search.space import Box
from search.toy_search import (
    ANCHORS,
    IMAGES,
    DescendingStrategy,
    MeanObjective,
    Painter,
    RoundsStrategy,
    SpreadObjective,
    features,
    quadratic,
    run_toy,
    toy_study,
)

FULL = range(IMAGES)


def plain(result: SearchResult) -> list[object]:
    """What may be compared of a result: all but the features."""
    items = [replace(item, tables={}) for item in (result.best, *result.evaluations)]
    numbers = [(item.candidate, item.images, item.values, dict(item.notes)) for item in items]
    return [numbers, result.costs, len(result.pareto)]


def test_anchors_come_first_and_nothing_is_drawn_twice(tmp_path: Path) -> None:
    painter, strategy = Painter(), RoundsStrategy([Proposal((0.5, 0.5)), Proposal((1.0, 0.0))])
    result = run_toy(tmp_path, painter, strategy)
    assert painter.draws == [(candidate, FULL) for candidate in (*ANCHORS, (0.5, 0.5))]
    assert [item.candidate for item in strategy.anchors] == list(ANCHORS)
    assert [item.candidate for item in strategy.told[0]] == [(0.5, 0.5), (1.0, 0.0)]
    assert [item.candidate for item in result.evaluations] == [*ANCHORS, (0.5, 0.5)]
    assert result.costs == (1.0,) * 5 and result.cost == 5.0


def test_the_strategy_is_told_values_features_and_its_own_notes(tmp_path: Path) -> None:
    notes = ({"predicted": 0.25}, {"predicted": 0.5, "reason": "again"})
    strategy = RoundsStrategy(*([Proposal((0.5, 0.5), notes=note)] for note in notes))
    run_toy(tmp_path, Painter(), strategy)
    for (told,), note in zip(strategy.told, notes, strict=True):
        assert told.notes == note and told.images == IMAGES
        assert torch.equal(told.tables["features"], features((0.5, 0.5), FULL))
        assert told.value == told.tables["features"].double().mean().item()


def test_the_best_of_all_is_found_the_anchors_too(tmp_path: Path) -> None:
    found = run_toy(tmp_path / "one", Painter(), DescendingStrategy(6))
    assert quadratic(found.best.candidate) < 0.01
    anchor = run_toy(
        tmp_path / "two",
        Painter(lambda w: abs(w[0] - 0.4) + abs(w[1] - 0.4)),
        DescendingStrategy(),
    )
    assert anchor.best.candidate == (0.4, 0.4)


def test_a_promoted_candidate_is_drawn_further_and_costs_the_difference(tmp_path: Path) -> None:
    small, large = Proposal((0.5, 0.5), 5), Proposal((0.5, 0.5))
    painter, strategy = Painter(), RoundsStrategy([small], [large], [small])
    result = run_toy(tmp_path, painter, strategy)
    assert painter.draws[len(ANCHORS) :] == [((0.5, 0.5), range(5)), ((0.5, 0.5), range(5, IMAGES))]
    assert result.costs[len(ANCHORS) :] == (0.25, 0.75) and result.cost == 5.0
    (first,), (second,), (third,) = strategy.told
    assert (first.images, second.images, third.images) == (5, IMAGES, 5)
    assert first.values == third.values != second.values
    for told in (first, second, third):
        whole = features((0.5, 0.5), range(told.images))
        assert torch.equal(told.tables["features"], whole)


def test_sizes_of_one_candidate_in_one_round_are_drawn_one_after_the_other(tmp_path: Path) -> None:
    wanted = [Proposal((0.5, 0.5)), Proposal((0.25, 0.5), 5), Proposal((0.5, 0.5), 5)]
    painter, strategy = Painter(), RoundsStrategy(wanted)
    result = run_toy(tmp_path, painter, strategy)
    drawn = [rows for candidate, rows in painter.draws if candidate == (0.5, 0.5)]
    assert drawn == [range(5), range(5, IMAGES)]
    assert [item.images for item in strategy.told[0]] == [IMAGES, 5, 5]
    assert [item.images for item in result.evaluations[len(ANCHORS) :]] == [IMAGES, 5, 5]
    assert result.cost == 5.25


def test_the_best_is_judged_on_the_most_images(tmp_path: Path) -> None:
    def function(weights: tuple[float, ...]) -> float:
        return -9.0 if weights == (0.5, 0.5) else quadratic(weights)

    strategy = RoundsStrategy([Proposal((0.5, 0.5), 5), Proposal((0.25, 0.0))])
    assert run_toy(tmp_path, Painter(function), strategy).best.candidate == (0.25, 0.0)


@pytest.mark.parametrize("killed_at", [0, 1, 4, 9])
def test_a_killed_search_ends_as_if_it_had_never_stopped(tmp_path: Path, killed_at: int) -> None:
    whole = Painter()
    expected = run_toy(tmp_path / "whole", whole, DescendingStrategy())
    first, second = Painter(killed_at=killed_at), Painter()
    with pytest.raises(KeyboardInterrupt):
        run_toy(tmp_path / "killed", first, DescendingStrategy())
    resumed = run_toy(tmp_path / "killed", second, DescendingStrategy())
    assert plain(resumed) == plain(expected)
    assert [*first.draws, *second.draws] == whole.draws
    trials = [toy_study(tmp_path / name).trials for name in ("whole", "killed")]
    assert [replace(trial, seconds=0.0) for trial in trials[0]] == [
        replace(trial, seconds=0.0) for trial in trials[1]
    ]


def test_features_without_values_are_not_drawn_again(tmp_path: Path) -> None:
    """As when a kill falls between a worker's file and the driver's record."""
    expected = run_toy(tmp_path, Painter(), DescendingStrategy())
    (tmp_path / "study.db").unlink()
    again = Painter(killed_at=0)
    assert plain(run_toy(tmp_path, again, DescendingStrategy())) == plain(expected)


def test_a_finished_search_draws_nothing(tmp_path: Path) -> None:
    expected = run_toy(tmp_path, Painter(), DescendingStrategy())
    assert plain(run_toy(tmp_path, Painter(killed_at=0), DescendingStrategy())) == plain(expected)


def test_features_that_were_deleted_are_drawn_again_and_the_study_stands(tmp_path: Path) -> None:
    expected = run_toy(tmp_path, Painter(), DescendingStrategy())
    trials = toy_study(tmp_path).trials
    shutil.rmtree(tmp_path / "features")
    again = Painter()
    assert plain(run_toy(tmp_path, again, DescendingStrategy())) == plain(expected)
    assert len(again.draws) == len(trials) and toy_study(tmp_path).trials == trials


def test_another_key_starts_anew(tmp_path: Path) -> None:
    run_toy(tmp_path, Painter(), DescendingStrategy())
    other = Painter()
    result = run_toy(tmp_path, other, DescendingStrategy(), key="other")
    assert len(other.draws) == len(result.evaluations)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_never_the_best(tmp_path: Path, bad: float) -> None:
    painter = Painter(lambda w: bad if w[1] == 0 else quadratic(w))
    result = run_toy(tmp_path, painter, DescendingStrategy())
    assert math.isfinite(result.best.value)
    values = {item.candidate: item.value for item in result.evaluations}
    assert values[0.0, 0.0] == values[1.0, 0.0] == math.inf
    again = run_toy(tmp_path, Painter(killed_at=0), DescendingStrategy())
    assert plain(again) == plain(result)


def test_a_search_in_which_nothing_is_finite_fails(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"No merging weights gave a finite objective\. Fix:"):
        run_toy(tmp_path, Painter(lambda _: math.nan), RoundsStrategy())


def test_progress_is_told_after_each_evaluation_with_the_best_so_far(tmp_path: Path) -> None:
    told: list[tuple[float, float, float]] = []
    strategy = RoundsStrategy([Proposal((0.5, 0.5), 5)], [Proposal((0.5, 0.5))])
    result = run_toy(
        tmp_path, Painter(), strategy, on_progress=lambda *numbers: told.append(numbers)
    )
    assert [done for done, _, _ in told] == [1.0, 2.0, 3.0, 4.0, 4.25, 5.0]
    assert all(done <= expected == 6.0 for done, expected, _ in told)
    best = [value for _, _, value in told]
    assert best == sorted(best, reverse=True) and best[-1] == result.best.value


def test_several_objectives_have_a_front_and_the_first_chooses(tmp_path: Path) -> None:
    objectives = (MeanObjective(), SpreadObjective())
    strategy = RoundsStrategy([Proposal((0.3, -0.2)), Proposal((0.3, 0.5)), Proposal((1.0, 1.0))])
    result = run_toy(tmp_path, Painter(), strategy, objectives=objectives)
    assert result.best.candidate == (0.3, -0.2)
    assert all(len(item.values) == 2 for item in result.evaluations)
    front = {item.candidate for item in result.pareto}
    assert {item.candidate for item in result.evaluations if item.values[0] <= 1} == front
    assert run_toy(tmp_path / "one", Painter(), RoundsStrategy()).pareto == ()


def test_the_front_agrees_with_its_definition() -> None:
    draws = torch.randint(0, 6, (60, 3), generator=torch.Generator().manual_seed(0)).double()
    values = [tuple(row) for row in draws.tolist()] + [(math.inf, -1.0, 0.0)]
    every = [Evaluation((float(n),), 1, value) for n, value in enumerate(values)]
    front = {item.candidate[0] for item in pareto_front(every)}
    better = (draws[:, None] <= draws[None]).all(-1) & (draws[:, None] < draws[None]).any(-1)
    assert front == {float(n) for n in range(60) if not better[:, n].any()}


def test_an_evaluation_too_few_is_an_error(tmp_path: Path) -> None:
    from deme.search.loop import search_weights
    from deme.search.set_store import SetStore

    with pytest.raises(ValueError, match="zip"):
        search_weights(
            RoundsStrategy(),
            lambda proposals: [Measurement((1.0,), 0.0)] * (len(proposals) - 1),
            study=toy_study(tmp_path),
            sets=SetStore(tmp_path / "features", "key"),
            images=IMAGES,
            anchors=ANCHORS,
        )


class Thinker(RoundsStrategy):
    """Notes how many threads it thinks in."""

    def __init__(self, *rounds: list[Proposal]) -> None:
        super().__init__(*rounds)
        self.threads: list[int] = []

    def ask(self) -> list[Proposal]:
        self.threads.append(torch.get_num_threads())
        return super().ask()


def test_strategies_think_in_one_thread_whatever_the_images_are_drawn_with(tmp_path: Path) -> None:
    """So a search that is resumed with other threads asks for the same again."""
    drawn_with = []

    class Noting(Painter):
        def __call__(self, candidate: tuple[float, ...], rows: range) -> dict[str, torch.Tensor]:
            drawn_with.append(torch.get_num_threads())
            return dict(super().__call__(candidate, rows))

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        strategy = Thinker([Proposal((0.5, 0.5))])
        run_toy(tmp_path, Noting(), strategy)
    finally:
        torch.set_num_threads(before)
    assert {*strategy.threads} == {1} and {*drawn_with} == {2}


def test_an_anchor_beyond_the_bounds_does_not_win(tmp_path: Path) -> None:
    free = run_toy(tmp_path / "free", Painter(), RoundsStrategy([Proposal((0.3, 0.3))]))
    (x, y), inside = free.best.candidate, Box((0.2, 0.2), (0.4, 0.4))
    assert inside.clip((x, y)) != (x, y)
    bound = run_toy(
        tmp_path / "bound", Painter(), RoundsStrategy([Proposal((0.3, 0.3))]), box=inside
    )
    assert bound.best.candidate == (0.3, 0.3)
    assert [item.value for item in bound.evaluations] == [item.value for item in free.evaluations]
