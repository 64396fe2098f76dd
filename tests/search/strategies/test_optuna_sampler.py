"""Optuna's samplers behind the seam."""

from __future__ import annotations

import logging
import warnings

import optuna
import pytest

from deme.errors import ConfigError
from deme.search.evaluation import Evaluation
from deme.search.space import Box, Candidate
from deme.search.strategies import OptunaStrategy
from deme.search.strategies.optuna_sampler import SamplerName
from search.strategies.quadratics import FULL, anchors_of, search, separable

UNIT = {n: Box.cube((0.0, 1.0), n) for n in (1, 2, 3)}


@pytest.mark.parametrize(
    ("sampler", "n", "evaluations", "border", "precision"),
    [
        ("tpe", 1, 20, False, 0.2),
        ("tpe", 2, 40, False, 0.2),
        ("tpe", 3, 60, False, 0.2),
        ("tpe", 2, 40, True, 0.2),
        ("nsga2", 1, 40, False, 0.2),
        ("nsga2", 3, 120, False, 0.2),
        ("nsga2", 2, 80, True, 0.3),
        ("gp", 1, 6, True, 0.05),
        ("gp", 2, 12, False, 0.05),
    ],
)
def test_each_sampler_reaches_its_precision(
    sampler: SamplerName, n: int, evaluations: int, border: bool, precision: float
) -> None:
    seeds = range(1 if sampler == "gp" else 3)
    for seed in seeds:
        function = separable(n, seed, border=border)
        strategy = OptunaStrategy(UNIT[n], sampler, evaluations, seed=seed)
        found = search(strategy, function, UNIT[n], anchors_of(n))
        assert found.error(function.optimum, UNIT[n]) < precision


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_two_objectives_give_a_front_and_not_a_point(sampler: SamplerName) -> None:
    """Distances to (0.2, 0.2) and (0.8, 0.8): the front is the line between them."""
    strategy = OptunaStrategy(UNIT[2], sampler, 90, objectives=2)

    def values(w: Candidate) -> tuple[float, float]:
        return sum((x - 0.2) ** 2 for x in w), sum((x - 0.8) ** 2 for x in w)

    told = [Evaluation(anchor, FULL, values(anchor)) for anchor in anchors_of(2)]
    strategy.begin(told)
    while proposals := strategy.ask():
        new = [Evaluation(each.candidate, FULL, values(each.candidate)) for each in proposals]
        strategy.tell(new)
        told += new
    for share in (0.0, 0.5, 1.0):  # the least value of each mix of the two
        place = 0.2 + 0.6 * share
        least = (1 - share) * values((place, place))[0] + share * values((place, place))[1]
        found = min((1 - share) * each.values[0] + share * each.values[1] for each in told)
        assert found - least < 0.03


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_a_round_has_its_batch_of_different_candidates(sampler: SamplerName) -> None:
    strategy = OptunaStrategy(UNIT[2], sampler, 5, batch=3)
    found = search(strategy, separable(2), UNIT[2], anchors_of(2))
    assert [len(asked) for asked in found.rounds] == [3, 2]


def test_anchors_are_known_to_the_sampler() -> None:
    strategy = OptunaStrategy(UNIT[2], "tpe", 4)
    search(strategy, separable(2), UNIT[2], anchors_of(2))
    trials = strategy.study.trials[: len(anchors_of(2))]
    assert [tuple(trial.params.values()) for trial in trials] == anchors_of(2)
    assert [trial.value for trial in trials] == [separable(2)(each) for each in anchors_of(2)]


def test_optuna_is_quiet_here_and_as_the_user_set_it_elsewhere(
    capfd: pytest.CaptureFixture[str],
) -> None:
    optuna.logging.set_verbosity(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for sampler in ("tpe", "gp", "nsga2"):
                strategy = OptunaStrategy(UNIT[2], sampler, 3)
                search(strategy, separable(2), UNIT[2], anchors_of(2))
        assert not [each for each in caught if "optuna" in str(each.filename)]
        assert capfd.readouterr().err == ""
        assert optuna.logging.get_verbosity() == logging.DEBUG
    finally:
        optuna.logging.set_verbosity(logging.INFO)


def test_several_objectives_are_not_for_gp() -> None:
    with pytest.raises(ConfigError, match=r"gp minimises one objective, not 2\. Choices: tpe, ns"):
        OptunaStrategy(UNIT[2], "gp", 5, objectives=2)
