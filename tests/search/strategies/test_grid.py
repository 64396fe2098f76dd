"""The grid on functions with no model at all."""

from __future__ import annotations

import itertools

import pytest
import torch

from deme.errors import ConfigError
from deme.search.space import Box, Candidate
from deme.search.strategies import GridStrategy, full_grid_size, grid_size
from search.strategies.quadratics import (
    FULL,
    Function,
    Quadratic,
    anchors_of,
    evaluation,
    search,
)


def round_bowl(*optimum: float) -> Quadratic:
    return Quadratic(optimum, torch.eye(len(optimum), dtype=torch.float64))


def rounds_of(strategy: GridStrategy, function: Function) -> list[list[Candidate]]:
    found = search(strategy, function, strategy.box)
    return [[proposal.candidate for proposal in asked] for asked in found.rounds]


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5])
def test_the_coarse_grid_is_a_full_factorial_of_full_sets(dimensions: int) -> None:
    box = Box.cube((0.0, 1.0), dimensions)
    strategy = GridStrategy(box, levels=3, refinements=0)
    assert strategy.expected_evaluations() == 3**dimensions == grid_size(3, dimensions, 0)
    found = search(strategy, round_bowl(*[0.6] * dimensions), box)
    assert len(found.rounds) == 1
    assert found.asked == list(itertools.product([0.0, 0.5, 1.0], repeat=dimensions))
    assert {each.images for each in found.evaluations} == {FULL}


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("levels", [2, 3, 4])
@pytest.mark.parametrize("place", [0.0, 0.137, 0.5, 0.81, 1.0])
def test_each_refinement_halves_the_error(dimensions: int, levels: int, place: float) -> None:
    """Coarse: within half a step in each weight; after r refinements, within step / 2^(r+1)."""
    function = round_bowl(*((place + 0.23 * i) % 1.0 for i in range(dimensions)))
    box = Box.cube((0.0, 1.0), dimensions)
    step = 1 / (levels - 1)
    for refinements in (0, 1, 3):
        found = search(GridStrategy(box, levels, refinements), function, box)
        assert found.error(function.optimum, box) <= step / 2 ** (refinements + 1) + 1e-9


def test_the_papers_grid_is_coarse_and_then_of_steps_of_a_tenth() -> None:
    coarse, fine = rounds_of(
        GridStrategy(Box.cube((0.0, 1.0), 2), levels=5, refinements=1, finer_step=0.1),
        round_bowl(0.33, 0.74),
    )
    assert coarse == list(itertools.product([0.0, 0.25, 0.5, 0.75, 1.0], repeat=2))
    around = set(itertools.product([0.15, 0.25, 0.35], [0.65, 0.75, 0.85]))
    assert set(fine) == around - {(0.25, 0.75)}


def test_equal_finer_steps_walk_until_nothing_is_better() -> None:
    strategy = GridStrategy(Box.cube((0.0, 1.0), 1), levels=2, refinements=9, finer_step=0.1)
    assert rounds_of(strategy, round_bowl(0.33)) == [
        [(0.0,), (1.0,)],
        *[[(place / 10,)] for place in (1, 2, 3, 4)],
    ]


def test_a_finer_step_is_never_above_the_coarse_one() -> None:
    box = Box((0.0, 0.0), (1.0, 0.1))
    _, fine = rounds_of(GridStrategy(box, 3, 1, finer_step=0.2), round_bowl(0.5, 0.05))
    assert (0.3, 0.0) in fine
    assert (0.7, 0.1) in fine


def test_evaluations_are_as_expected_inside_and_fewer_at_the_border() -> None:
    box = Box.cube((0.0, 1.0), 2)
    inside = rounds_of(GridStrategy(box, 3, 2), round_bowl(0.5, 0.5))
    assert [len(candidates) for candidates in inside] == [9, 8, 8]
    assert sum(map(len, inside)) == grid_size(3, 2, 2)
    corner = rounds_of(GridStrategy(box, 3, 2), round_bowl(0.0, 0.0))
    assert [len(candidates) for candidates in corner] == [9, 3, 3]


def test_anchors_on_the_grid_are_neither_evaluated_again_nor_expected() -> None:
    box = Box.cube((0.0, 1.0), 2)
    strategy = GridStrategy(box, 3, 0)
    strategy.begin([evaluation(round_bowl(0.5, 0.5), anchor) for anchor in anchors_of(2)])
    assert strategy.expected_evaluations() == 4
    assert {each.candidate for each in strategy.ask()} == {
        (0.0, 0.5),
        (0.5, 0.0),
        (0.5, 1.0),
        (1.0, 0.5),
    }


@pytest.mark.parametrize("n", [1, 2, 3])
def test_anchors_do_not_change_which_grid_is_searched(n: int) -> None:
    box = Box.cube((0.0, 1.0), n)
    function = round_bowl(*[0.34] * n)
    without = search(GridStrategy(box, 3, 2), function, box)
    told = search(GridStrategy(box, 3, 2), function, box, anchors_of(n))
    assert set(told.asked) == set(without.asked) - set(anchors_of(n))


def test_weights_may_be_negative() -> None:
    box = Box.cube((-1.0, 1.0), 2)
    assert search(GridStrategy(box, 3, 2), round_bowl(-0.75, 0.5), box).best == (-0.75, 0.5)


def test_each_axis_has_its_own_step() -> None:
    rounds = rounds_of(GridStrategy(Box((0.0, 0.0), (1.0, 10.0)), 2, 1), round_bowl(0.0, 0.0))
    assert set(rounds[0]) == {(0.0, 0.0), (0.0, 10.0), (1.0, 0.0), (1.0, 10.0)}
    assert set(rounds[1]) == {(0.0, 5.0), (0.5, 0.0), (0.5, 5.0)}


def test_ties_go_to_the_smaller_candidate() -> None:
    rounds = rounds_of(GridStrategy(Box.cube((0.0, 1.0), 2), 3, 1), lambda _: 1.0)
    assert set(rounds[1]) == {(0.0, 0.25), (0.25, 0.0), (0.25, 0.25)}


def test_infinite_values_are_not_refined_around() -> None:
    def outside(candidate: Candidate) -> float:
        return float("inf") if candidate[0] < 0.9 else candidate[0]

    rounds = rounds_of(GridStrategy(Box.cube((0.0, 1.0), 1), 3, 1), outside)
    assert rounds == [[(0.0,), (0.5,), (1.0,)], [(0.75,)]]


def test_sizes_of_grids_are_counted_without_making_them() -> None:
    assert full_grid_size(0.1, 0.0, 1.0, 4) == 14_641
    assert full_grid_size(0.1, 0.0, 1.0, 8) == 11**8
    assert full_grid_size(0.3, -1.0, 1.0, 1) == 7
    assert grid_size(5, 8, 1) == 5**8 + 3**8 - 1
    with pytest.raises(ConfigError, match=r"No grid of step 0 from 0\.0 to 1\.0\. Fix: give step"):
        full_grid_size(0, 0.0, 1.0, 2)


@pytest.mark.parametrize(
    ("dimensions", "levels", "finer_step", "message"),
    [
        (2, 1, None, r"A grid of 1 levels has no step\. Fix: give levels >= 2"),
        (2, 3, 0.0, r"A grid cannot have steps of 0\.0\. Fix: give finer_step > 0"),
        (30, 3, None, r"over 30 weights has \d+ candidates\. Fix: lower search\.levels"),
    ],
)
def test_impossible_grids_are_refused(
    dimensions: int, levels: int, finer_step: float | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        GridStrategy(Box.cube((0.0, 1.0), dimensions), levels, 1, finer_step)


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ((1.0,), (0.0,)),
        ((0.0,), (0.0,)),
        ((0.0,), (1.0, 1.0)),
        ((0.0,), (float("nan"),)),
        ((float("-inf"),), (1.0,)),
    ],
)
def test_bounds_that_are_not_a_box_are_refused(low: Candidate, high: Candidate) -> None:
    with pytest.raises(ConfigError, match=r"are not a box\. Fix: give bounds"):
        Box(low, high)


def test_candidates_compare_equal_whatever_the_rounding() -> None:
    box = Box.cube((-1.0, 1.0), 3)
    assert box.clip((0.1 + 0.2, -0.0, 7.0)) == (0.3, 0.0, 1.0)
    assert str(box.clip((-1e-12, -0.0, 0.0))) == "(0.0, 0.0, 0.0)"
