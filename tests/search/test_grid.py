"""The grid on functions with no model at all."""

import itertools
from collections.abc import Callable, Sequence

import pytest

from deme.config import parse_config
from deme.errors import ConfigError
from deme.search import Box, Candidate, GridStrategy, SearchConfig, make_strategy

Function = Callable[[Candidate], float]


def quadratic(optimum: Sequence[float]) -> Function:
    return lambda w: sum((a - b) ** 2 for a, b in zip(w, optimum, strict=True))


def run(strategy: GridStrategy, function: Function) -> list[list[Candidate]]:
    """The candidates of each round."""
    rounds = []
    while candidates := strategy.ask():
        rounds.append(candidates)
        strategy.tell(candidates, [function(candidate) for candidate in candidates])
        assert len(rounds) < 100
    return rounds


def best(rounds: list[list[Candidate]], function: Function) -> Candidate:
    return min(itertools.chain(*rounds), key=function)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4, 5])
def test_the_coarse_grid_is_a_full_factorial(dimensions: int) -> None:
    strategy = GridStrategy(Box.cube((0.0, 1.0), dimensions), levels=3, refinements=0)
    rounds = run(strategy, quadratic([0.6] * dimensions))
    assert rounds == [list(itertools.product([0.0, 0.5, 1.0], repeat=dimensions))]
    assert strategy.expected_evaluations() == 3**dimensions
    assert strategy.ask() == []


@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
@pytest.mark.parametrize("levels", [2, 3, 5])
@pytest.mark.parametrize("place", [0.0, 0.137, 0.5, 0.81, 1.0])
def test_each_refinement_halves_the_error(dimensions: int, levels: int, place: float) -> None:
    """Coarse: within half a step in each weight; after r refinements, within step / 2^(r+1)."""
    optimum = [(place + 0.23 * i) % 1.0 for i in range(dimensions)]
    function = quadratic(optimum)
    step = 1 / (levels - 1)
    for refinements in (0, 1, 3):
        strategy = GridStrategy(Box.cube((0.0, 1.0), dimensions), levels, refinements)
        found = best(run(strategy, function), function)
        error = max(abs(a - b) for a, b in zip(found, optimum, strict=True))
        assert error <= step / 2 ** (refinements + 1) + 1e-9


def test_nothing_is_asked_for_twice_or_outside_the_box() -> None:
    box = Box((-1.0, 0.0), (0.5, 2.0))
    for optimum in ((-1.0, 2.0), (0.1, 0.9), (3.0, -3.0)):
        asked = list(itertools.chain(*run(GridStrategy(box, 4, 4), quadratic(optimum))))
        assert len(asked) == len(set(asked))
        for candidate in asked:
            for weight, low, high in zip(candidate, box.low, box.high, strict=True):
                assert low <= weight <= high


def test_evaluations_are_as_expected_inside_and_fewer_at_the_border() -> None:
    box = Box.cube((0.0, 1.0), 2)
    inside = run(GridStrategy(box, 3, 2), quadratic((0.5, 0.5)))
    assert [len(candidates) for candidates in inside] == [9, 8, 8]
    assert sum(map(len, inside)) == GridStrategy(box, 3, 2).expected_evaluations()
    corner = run(GridStrategy(box, 3, 2), quadratic((0.0, 0.0)))
    assert [len(candidates) for candidates in corner] == [9, 3, 3]


def test_weights_may_be_negative() -> None:
    function = quadratic((-0.75, 0.5))
    found = best(run(GridStrategy(Box.cube((-1.0, 1.0), 2), 3, 2), function), function)
    assert found == (-0.75, 0.5)


def test_each_axis_has_its_own_step() -> None:
    rounds = run(GridStrategy(Box((0.0, 0.0), (1.0, 10.0)), 2, 1), quadratic((0.0, 0.0)))
    assert set(rounds[0]) == {(0.0, 0.0), (0.0, 10.0), (1.0, 0.0), (1.0, 10.0)}
    assert set(rounds[1]) == {(0.0, 5.0), (0.5, 0.0), (0.5, 5.0)}


def test_it_is_deterministic_and_ties_go_to_the_smaller_candidate() -> None:
    def flat(_: Candidate) -> float:
        return 1.0

    box = Box.cube((0.0, 1.0), 2)
    first, second = run(GridStrategy(box, 3, 2), flat), run(GridStrategy(box, 3, 2), flat)
    assert first == second
    assert set(first[1]) == {(0.0, 0.25), (0.25, 0.0), (0.25, 0.25)}


def test_asking_again_before_telling_asks_the_same() -> None:
    strategy = GridStrategy(Box.cube((0.0, 1.0), 2), 3, 1)
    assert strategy.ask() == strategy.ask()


def test_infinite_values_are_not_refined_around() -> None:
    def outside(candidate: Candidate) -> float:
        return float("inf") if candidate[0] < 0.9 else candidate[0]

    rounds = run(GridStrategy(Box.cube((0.0, 1.0), 1), 3, 1), outside)
    assert rounds == [[(0.0,), (0.5,), (1.0,)], [(0.75,)]]


def test_values_and_candidates_must_match() -> None:
    strategy = GridStrategy(Box.cube((0.0, 1.0), 1), 3, 1)
    with pytest.raises(ValueError, match="zip"):
        strategy.tell(strategy.ask(), [1.0])


def test_a_grid_without_a_step_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"A grid of 1 levels has no step\. Fix: give levels >= 2"
    ):
        GridStrategy(Box.cube((0.0, 1.0), 2), 1, 0)


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


def test_the_configuration_makes_the_strategy() -> None:
    config = SearchConfig(bounds=(-1.0, 2.0), levels=4, refinements=1)
    strategy = make_strategy(config, experts=2)
    assert isinstance(strategy, GridStrategy)
    assert strategy.box == Box((-1.0, -1.0), (2.0, 2.0))
    assert strategy.expected_evaluations() == 16 + 8
    with pytest.raises(ConfigError, match=r"bounds must be \[low, high\] with low < high"):
        parse_config(SearchConfig, {"bounds": [1.0, 1.0]})
