"""What holds for every strategy, whatever it searches with."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from deme.errors import ConfigError
from deme.search.evaluation import Evaluation
from deme.search.space import Box, Candidate
from deme.search.strategies import (
    CmaEsStrategy,
    CoordinateStrategy,
    EvolutionStrategy,
    GridStrategy,
    HalvingStrategy,
    OptunaStrategy,
    RandomStrategy,
    SobolStrategy,
)
from deme.search.strategies.rounds import RoundStrategy
from deme.search.strategy import Strategy
from search.strategies.quadratics import (
    FULL,
    Function,
    anchors_of,
    evaluation,
    search,
    separable,
)

Maker = Callable[[Box, int], RoundStrategy]
BUDGETED: dict[str, Maker] = {
    "random": RandomStrategy,
    "sobol": SobolStrategy,
    "coordinate": CoordinateStrategy,
    "cmaes": CmaEsStrategy,
    "evolution": EvolutionStrategy,
    "tpe": lambda box, evaluations: OptunaStrategy(box, "tpe", evaluations),
    "gp": lambda box, evaluations: OptunaStrategy(box, "gp", evaluations),
    "nsga2": lambda box, evaluations: OptunaStrategy(box, "nsga2", evaluations),
}
EVERY: dict[str, Callable[[Box, int], Strategy]] = {
    **BUDGETED,
    "grid": lambda box, evaluations: GridStrategy(box, 3, 1),
    "halving": lambda box, evaluations: HalvingStrategy(
        EvolutionStrategy(box, evaluations), (50, 500), FULL
    ),
}
budgeted = pytest.mark.parametrize("name", BUDGETED)
every = pytest.mark.parametrize("name", EVERY)


@budgeted
def test_it_asks_within_its_budget_and_says_at_the_end_what_it_took(name: str) -> None:
    box = Box((-0.5, 0.0), (1.5, 2.0))
    for budget in (1, 5):
        strategy = BUDGETED[name](box, budget)
        assert strategy.expected_evaluations() <= budget
        asked = search(strategy, separable(2), box, anchors_of(2)).asked
        assert 0 < len(asked) <= budget
        assert strategy.expected_evaluations() == len(asked)


@every
def test_what_is_told_again_is_asked_for_again(name: str) -> None:
    """A search that was cut short and told again what is known goes on as if it never had been."""
    box = Box.cube((0.0, 1.0), 2)
    function = separable(2, 3)
    whole = search(EVERY[name](box, 9), function, box, anchors_of(2))
    for cut in (1, len(whole.rounds) // 2):
        resumed = EVERY[name](box, 9)
        resumed.begin([evaluation(function, anchor) for anchor in anchors_of(2)])
        for asked in whole.rounds[:cut]:
            assert resumed.ask() == asked
            resumed.tell(
                [evaluation(function, each.candidate, each.images or FULL) for each in asked]
            )
        assert resumed.ask() == (whole.rounds[cut] if cut < len(whole.rounds) else [])


@every
def test_asking_again_before_telling_asks_the_same(name: str) -> None:
    strategy = EVERY[name](Box.cube((0.0, 1.0), 2), 5)
    strategy.begin([evaluation(separable(2), anchor) for anchor in anchors_of(2)])
    assert strategy.ask() == strategy.ask() != []


@every
def test_it_takes_infinite_values_and_ends(name: str) -> None:
    def half(candidate: Candidate) -> float:
        return math.inf if candidate[0] > 0.5 else sum(candidate)

    def nowhere(_: Candidate) -> float:
        return math.inf

    box = Box.cube((0.0, 1.0), 2)
    functions: tuple[Function, ...] = (half, nowhere)
    for function in functions:
        found = search(EVERY[name](box, 6), function, box, anchors_of(2))
        assert found.asked


@every
def test_it_searches_one_weight_without_anchors(name: str) -> None:
    box = Box((-1.0,), (1.0,))
    found = search(EVERY[name](box, 12), separable(1), box)
    assert found.error(separable(1).optimum, box) < 0.25


@pytest.mark.parametrize("name", sorted({*BUDGETED, "halving"}))
def test_it_searches_thirty_weights(name: str) -> None:
    box = Box.cube((-1.0, 1.0), 30)
    found = search(EVERY[name](box, 2), separable(30), box, anchors_of(30))
    assert {len(candidate) for candidate in found.asked} == {30}


@every
def test_anchors_outside_the_box_do_not_disturb_it(name: str) -> None:
    box = Box.cube((0.2, 0.6), 2)
    assert search(EVERY[name](box, 6), separable(2), box, anchors_of(2)).asked


@every
def test_other_evaluations_than_those_asked_for_are_refused(name: str) -> None:
    strategy = EVERY[name](Box.cube((0.0, 1.0), 2), 5)
    asked = strategy.ask()
    with pytest.raises(ValueError, match="zip"):
        strategy.tell([])
    with pytest.raises(ValueError, match="was told of"):
        strategy.tell([Evaluation((0.123, 0.456), FULL, (1.0,))] * len(asked))


@budgeted
def test_a_search_without_evaluations_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"0 evaluations finds nothing\. Fix: give evaluations"):
        BUDGETED[name](Box.cube((0.0, 1.0), 2), 0)


@pytest.mark.parametrize("maker", [RandomStrategy, SobolStrategy, EvolutionStrategy, CmaEsStrategy])
def test_the_seed_decides_the_draws(maker: type[RandomStrategy]) -> None:
    box = Box.cube((0.0, 1.0), 2)
    one, same, other = (search(maker(box, 6, seed=seed), separable(2), box) for seed in (1, 1, 2))
    assert one.asked == same.asked
    assert not set(one.asked) & set(other.asked)
