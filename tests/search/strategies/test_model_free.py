"""CMA-ES and evolution reach what their classes state."""

from __future__ import annotations

import pytest

from deme.errors import ConfigError
from deme.search.space import Box, Candidate
from deme.search.strategies import CmaEsStrategy, EvolutionStrategy
from search.strategies.quadratics import anchors_of, search, separable, valley

SIZES = [1, 2, 4]


@pytest.mark.parametrize("n", SIZES)
def test_cmaes_reaches_its_precision_whether_weights_interact_or_not(n: int) -> None:
    box = Box.cube((0.0, 1.0), n)
    for seed in range(3):
        for function in (separable(n, seed), valley(n, 10.0, seed)):
            found = search(CmaEsStrategy(box, 40 * n, seed=seed), function, box, anchors_of(n))
            assert found.error(function.optimum, box) < 0.1


@pytest.mark.parametrize("n", SIZES)
def test_cmaes_finds_an_optimum_on_the_border(n: int) -> None:
    box = Box.cube((0.0, 1.0), n)
    for seed in range(3):
        function = separable(n, seed, border=True)
        found = search(CmaEsStrategy(box, 40 * n, seed=seed), function, box, anchors_of(n))
        assert found.error(function.optimum, box) < 0.15


@pytest.mark.parametrize("border", [False, True])
@pytest.mark.parametrize("n", SIZES)
def test_evolution_reaches_its_precision(n: int, border: bool) -> None:
    box = Box.cube((-1.0, 2.0), n) if not border else Box.cube((0.0, 1.0), n)
    for seed in range(3):
        function = separable(n, seed, border=border)
        found = search(EvolutionStrategy(box, 40 * n, seed=seed), function, box, anchors_of(n))
        assert found.error(function.optimum, box) < 0.1


@pytest.mark.parametrize("maker", [CmaEsStrategy, EvolutionStrategy])
def test_only_the_order_of_values_counts(maker: type[EvolutionStrategy]) -> None:
    box = Box.cube((0.0, 1.0), 2)
    function = separable(2, 5)

    def squashed(candidate: Candidate) -> float:
        return 100 + function(candidate) ** 0.5

    asked = [
        search(maker(box, 40), each, box, anchors_of(2)).asked for each in (function, squashed)
    ]
    assert asked[0] == asked[1]


@pytest.mark.parametrize("maker", [CmaEsStrategy, EvolutionStrategy])
def test_noise_of_a_tenth_of_the_differences_is_borne(maker: type[EvolutionStrategy]) -> None:
    box = Box.cube((0.0, 1.0), 3)
    errors = []
    for seed in range(6):
        function = separable(3, seed, noise=0.02)
        found = search(maker(box, 120, seed=seed), function, box, anchors_of(3))
        errors.append(found.error(function.optimum, box))
    assert sorted(errors)[2] < 0.1
    assert max(errors) < 0.25


def test_cmaes_starts_around_the_best_anchor() -> None:
    box = Box.cube((0.0, 1.0), 3)
    for best in anchors_of(3):

        def function(candidate: Candidate, best: Candidate = best) -> float:
            return 0.0 if candidate == best else 1.0

        first = search(CmaEsStrategy(box, 7), function, box, anchors_of(3)).rounds[0]
        mean = [sum(each.candidate[i] for each in first) / len(first) for i in range(3)]
        assert max(abs(a - b) for a, b in zip(mean, best, strict=True)) < 0.3


def test_the_anchors_are_the_first_parents_and_a_round_has_its_batch() -> None:
    box = Box.cube((-5.0, 5.0), 2)
    found = search(EvolutionStrategy(box, 23, batch=5), separable(2), box, anchors_of(2))
    assert [len(asked) for asked in found.rounds] == [5, 5, 5, 5, 3]
    alone = search(EvolutionStrategy(box, 12, batch=5, population=4), separable(2), box)
    assert [len(asked) for asked in alone.rounds] == [4, 5, 3]


def test_a_population_of_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="population of 1 has no two parents"):
        EvolutionStrategy(Box.cube((0.0, 1.0), 2), 10, population=1)
