"""Kept fractions for each interval under a budget, against trying all combinations."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deme.ensembles.ratios import choose_ratios
from deme.errors import ConfigError

NUMBERS = st.floats(0.01, 10)


@st.composite
def problems(
    draw: st.DrawFn,
) -> tuple[list[list[float]], list[list[float]], list[float], float]:
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    values = [draw(st.lists(NUMBERS, min_size=n, max_size=n)) for n in sizes]
    costs = [draw(st.lists(NUMBERS, min_size=n, max_size=n)) for n in sizes]
    shares = draw(st.lists(st.floats(0, 1), min_size=len(sizes), max_size=len(sizes)))
    return values, costs, shares, draw(st.floats(0.01, 40))


@given(problems())
def test_no_combination_within_the_budget_is_better(
    problem: tuple[list[list[float]], list[list[float]], list[float], float],
) -> None:
    values, costs, shares, budget = problem
    totals = {
        choice: (
            sum(row[c] for row, c in zip(values, choice, strict=True)),
            sum(s * row[c] for row, s, c in zip(costs, shares, choice, strict=True)),
        )
        for choice in itertools.product(*(range(len(row)) for row in values))
    }
    possible = [value for value, cost in totals.values() if cost <= budget]
    try:
        found = choose_ratios(values, costs, shares, budget)
    except ConfigError:
        assert not possible
        return
    value, cost = totals[found]
    assert cost <= budget * (1 + 1e-6)
    assert value <= min(possible, default=math.inf) + 1e-9


def test_an_interval_without_steps_takes_its_best_whatever_that_costs() -> None:
    values, costs = [[3.0, 1.0], [1.0, 2.0]], [[0.1, 1.0], [1.0, 0.2]]
    assert choose_ratios(values, costs, [0.0, 1.0], budget=0.2) == (1, 1)


def test_of_equal_values_the_cheaper() -> None:
    assert choose_ratios([[1.0, 1.0]], [[0.9, 0.4]], [1.0], budget=1.0) == (1,)


def test_a_budget_that_nothing_keeps() -> None:
    with pytest.raises(ConfigError, match=r"budget of 0\.3 cannot be kept.*cost 0\.5 of a step"):
        choose_ratios([[1.0, 2.0]], [[1.0, 0.5]], [1.0], budget=0.3)
