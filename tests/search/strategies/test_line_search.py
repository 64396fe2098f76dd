"""Least values along a line."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from deme.search.strategies.line_search import Line, minimise_along

LINE = Line(low=0.0, high=1.0, step=0.25, tolerance=0.01, evaluations=30)


def walk(
    function: Callable[[float], float], known: list[float], line: Line = LINE
) -> tuple[float, list[float]]:
    """Where it ends and all that it asked for."""
    search = minimise_along(line, {place: function(place) for place in known})
    asked: list[float] = []
    try:
        wanted = next(search)
        while True:
            asked += wanted
            wanted = search.send([function(place) for place in wanted])
    except StopIteration as ended:
        return ended.value, asked


@pytest.mark.parametrize("optimum", [0.0, 0.07, 0.3, 0.5, 0.77, 1.0])
@pytest.mark.parametrize("start", [0.0, 0.4, 1.0])
def test_a_parabola_is_solved_exactly_in_a_handful(optimum: float, start: float) -> None:
    found, asked = walk(lambda x: 3 * (x - optimum) ** 2, [start])
    assert abs(found - optimum) < LINE.tolerance
    assert len(asked) <= 6


def test_inside_a_known_bracket_one_evaluation_is_enough() -> None:
    assert walk(lambda x: (x - 0.3) ** 2, [0.0, 0.5, 1.0]) == (pytest.approx(0.3), [0.3])


@pytest.mark.parametrize("optimum", [-0.4, 1.4])
def test_a_minimum_beyond_the_end_is_met_at_the_end(optimum: float) -> None:
    found, asked = walk(lambda x: (x - optimum) ** 2, [0.5])
    assert found == min(max(optimum, 0.0), 1.0)
    assert all(0 <= place <= 1 for place in asked)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: math.exp(3 * x) - 8 * x,
        lambda x: (x - 0.62) ** 4,
        lambda x: abs(x - 0.37) ** 1.5,
        lambda x: -math.exp(-((x - 0.45) ** 2) / 0.1),
    ],
)
def test_smooth_functions_of_one_minimum_are_solved(function: Callable[[float], float]) -> None:
    found, asked = walk(function, [0.5])
    best = min((i / 10_000 for i in range(10_001)), key=function)
    assert function(found) - function(best) < 1e-3 * abs(function(0.0) - function(best))
    assert len(asked) <= 15


def test_it_stays_away_from_where_nothing_is_finite() -> None:
    def wall(x: float) -> float:
        return (x - 0.5) ** 2 if x < 0.6 else math.inf

    found, _ = walk(wall, [0.1])
    assert abs(found - 0.5) < 0.05


def test_it_ends_where_nothing_is_finite_at_all() -> None:
    _, asked = walk(lambda _: math.inf, [0.5])
    assert len(asked) <= LINE.evaluations


def test_it_keeps_to_its_evaluations() -> None:
    line = Line(0.0, 1.0, 0.01, 1e-6, evaluations=4)
    _, asked = walk(lambda x: -x, [0.0], line)
    assert len(asked) == 4
