"""From the configuration to a strategy."""

from __future__ import annotations

import pytest

from deme.config import parse_config
from deme.errors import ConfigError
from deme.search.config import SearchConfig
from deme.search.space import Box
from deme.search.strategies import (
    GENERIC,
    CmaEsStrategy,
    CoordinateStrategy,
    EvolutionStrategy,
    GridStrategy,
    HalvingStrategy,
    OptunaStrategy,
    RandomStrategy,
    SobolStrategy,
    default_evaluations,
    make_strategy,
)

BOX = Box.cube((-1.0, 2.0), 3)


def config(**values: object) -> SearchConfig:
    return parse_config(SearchConfig, values)


@pytest.mark.parametrize(
    ("name", "kind", "evaluations"),
    [
        ("random", RandomStrategy, 48),
        ("sobol", SobolStrategy, 64),
        ("cmaes", CmaEsStrategy, 120),
        ("evolution", EvolutionStrategy, 120),
        ("nsga2", OptunaStrategy, 120),
        ("tpe", OptunaStrategy, 60),
        ("gp", OptunaStrategy, 20),
    ],
)
def test_each_name_makes_its_strategy_with_its_own_number_of_evaluations(
    name: str, kind: type, evaluations: int
) -> None:
    strategy = make_strategy(config(strategy=name), BOX)
    assert isinstance(strategy, kind)
    assert strategy.expected_evaluations() == evaluations == default_evaluations(name, 3)
    given = make_strategy(config(strategy=name, evaluations=7), BOX)
    assert given.expected_evaluations() == 7


def test_the_coordinate_search_has_a_budget_and_expects_less() -> None:
    strategy = make_strategy(config(strategy="coordinate"), BOX)
    assert isinstance(strategy, CoordinateStrategy)
    assert strategy.evaluations == 36
    assert strategy.expected_evaluations() == 18


def test_batch_seed_and_objectives_are_passed_on() -> None:
    strategy = make_strategy(config(strategy="random", batch=5, seed=9), BOX)
    assert isinstance(strategy, RandomStrategy)
    assert (strategy.batch, strategy.seed, strategy.box) == (5, 9, BOX)
    several = make_strategy(config(strategy="nsga2", pareto=["frechet", "kid"], batch=4), BOX)
    assert isinstance(several, OptunaStrategy)
    assert (several.objectives, several.batch) == (2, 4)


def test_a_grid_is_as_its_levels_say() -> None:
    strategy = make_strategy(config(strategy="grid", levels=4, refinements=1, finer_step=0.25), BOX)
    assert isinstance(strategy, GridStrategy)
    assert (strategy.levels, strategy.refinements, strategy.finer_step) == (4, 1, 0.25)
    assert strategy.expected_evaluations() == 4**3 + 26
    with pytest.raises(ConfigError, match=r"follow from its levels .*Fix: leave search\.evalu"):
        make_strategy(config(strategy="grid", evaluations=50), BOX)


def test_what_needs_more_than_a_box_is_made_by_the_caller() -> None:
    made = RandomStrategy(BOX, 3)
    assert make_strategy(config(strategy="surface"), BOX, surface=lambda: made) is made
    assert make_strategy(config(strategy="gradient"), BOX, gradient=lambda: made) is made
    with pytest.raises(ConfigError, match=r"surface needs more .*Choices: gradient, grid, coord"):
        make_strategy(config(strategy="surface"), BOX, gradient=lambda: made)


def test_promotions_put_halving_around_any_of_them() -> None:
    inner = RandomStrategy(BOX, 3)
    halved = make_strategy(config(promotions=[100, 400], images=800), BOX, surface=lambda: inner)
    assert isinstance(halved, HalvingStrategy)
    assert halved.inner is inner
    assert halved.counts == [100, 400, 800]


@pytest.mark.parametrize("name", GENERIC)
def test_every_name_of_a_box_can_be_configured(name: str) -> None:
    assert make_strategy(config(strategy=name), Box.cube((0.0, 1.0), 1)).ask()
