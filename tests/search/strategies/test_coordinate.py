"""Line searches along the scale and the weights."""

from __future__ import annotations

import math

import pytest

from deme.search.space import Box, Candidate
from deme.search.strategies import CoordinateStrategy
from search.strategies.quadratics import anchors_of, search, separable, valley

UNIT = {n: Box.cube((0.0, 1.0), n) for n in (1, 2, 3, 4, 8)}


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("n", UNIT)
def test_weights_that_do_not_interact_are_exact_after_about_five_evaluations_each(
    n: int, border: bool
) -> None:
    for seed in range(5):
        function = separable(n, seed, border=border)
        strategy = CoordinateStrategy(UNIT[n], 12 * n)
        found = search(strategy, function, UNIT[n], anchors_of(n))
        assert found.error(function.optimum, UNIT[n]) < strategy.tolerance
        assert len(found.asked) <= 6 * n + 3


@pytest.mark.parametrize("n", [2, 3, 4, 8])
def test_one_cycle_is_enough_where_weights_do_not_interact(n: int) -> None:
    for seed in range(5):
        function = separable(n, seed)
        found = search(CoordinateStrategy(UNIT[n], 4 * n + 2), function, UNIT[n], anchors_of(n))
        assert found.error(function.optimum, UNIT[n]) < 0.01


@pytest.mark.parametrize("condition", [3, 10, 30])
@pytest.mark.parametrize("n", [2, 4, 8])
def test_a_valley_across_the_weights_is_followed_as_far_as_stated(n: int, condition: int) -> None:
    for seed in range(3):
        function = valley(n, condition, seed)
        strategy = CoordinateStrategy(UNIT[n], 60 * n)
        found = search(strategy, function, UNIT[n], anchors_of(n))
        assert found.error(function.optimum, UNIT[n]) < strategy.tolerance * (1 + condition / 2)
        zero = function((0.0,) * n)
        assert function(found.best) < 0.005 * zero


def test_noise_moves_the_answer_by_less_than_the_step() -> None:
    """At curvature c ≥ 1 and noise 0.01, f ± 0.01 over a step of 0.1 is off by about 0.05."""
    errors = []
    for seed in range(8):
        function = separable(4, seed, noise=0.01)
        found = search(CoordinateStrategy(UNIT[4], 48), function, UNIT[4], anchors_of(4))
        errors.append(found.error(function.optimum, UNIT[4]))
    assert max(errors) < 0.12


def test_the_common_scale_comes_first() -> None:
    """The best weights are all 0.6: nothing but the line through 1/N and ones is needed."""

    def function(candidate: Candidate) -> float:
        return sum((weight - 0.6) ** 2 for weight in candidate)

    found = search(CoordinateStrategy(UNIT[4], 40), function, UNIT[4], anchors_of(4))
    assert found.rounds[0][0].candidate == (0.6,) * 4
    assert len(found.rounds[0]) == 1


def test_a_step_never_leaves_an_uneven_box_of_any_sign() -> None:
    box = Box((-2.0, 0.1, -0.5), (-1.0, 0.3, 9.0))
    target = (-1.3, 0.29, 7.5)

    def function(candidate: Candidate) -> float:
        return sum(
            ((a - b) / (high - low)) ** 2
            for a, b, low, high in zip(candidate, target, box.low, box.high, strict=True)
        )

    found = search(CoordinateStrategy(box, 60), function, box, anchors_of(3))
    assert found.error(target, box) < 0.01


def test_a_function_that_is_no_quadratic_is_solved_to_the_tolerance() -> None:
    def function(candidate: Candidate) -> float:
        return sum(math.exp(3 * weight) - 8 * weight for weight in candidate)

    found = search(CoordinateStrategy(UNIT[3], 60), function, UNIT[3], anchors_of(3))
    assert found.error([math.log(8 / 3) / 3] * 3, UNIT[3]) < 0.02


def test_what_is_expected_grows_with_the_cycles_and_is_exact_at_the_end() -> None:
    strategy = CoordinateStrategy(UNIT[4], 200)
    assert strategy.expected_evaluations() == 24
    found = search(strategy, valley(4, 30.0), UNIT[4], anchors_of(4))
    assert strategy.expected_evaluations() == len(found.asked) < 200
