"""Few images for all, more for the better ones."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest

from deme.errors import ConfigError
from deme.search.evaluation import Evaluation, Proposal
from deme.search.space import Box, Candidate
from deme.search.strategies import (
    CmaEsStrategy,
    EvolutionStrategy,
    GridStrategy,
    HalvingStrategy,
    RandomStrategy,
)
from deme.search.strategy import Strategy
from search.strategies.quadratics import FULL, anchors_of, evaluation, search, separable

UNIT = Box.cube((0.0, 1.0), 2)
RUNGS = (500, 2000, FULL)


class Listed(Strategy):
    """Asks for rounds that are written down, and keeps what it is told."""

    def __init__(self, *rounds: Sequence[float]) -> None:
        self.rounds = [[Proposal((weight,)) for weight in each] for each in rounds]
        self.begun: list[Evaluation] = []
        self.told: list[Evaluation] = []

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        self.begun = list(anchors)

    def ask(self) -> list[Proposal]:
        return self.rounds[0] if self.rounds else []

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        self.told += evaluations
        self.rounds.pop(0)

    def expected_evaluations(self) -> int:
        return sum(map(len, self.rounds))


def first_weight(candidate: Candidate) -> float:
    return candidate[0]


def run(strategy: Strategy, anchors: Sequence[float] = ()) -> list[list[tuple[float, int]]]:
    """Weight and images of each round, where the value is the weight."""
    found = search(strategy, first_weight, Box.cube((0.0, 1.0), 1), [(each,) for each in anchors])
    return [
        [(each.candidate[0], each.images or 0) for each in proposals] for proposals in found.rounds
    ]


def test_the_better_half_of_a_round_goes_on_to_each_next_count() -> None:
    inner = Listed([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    assert run(HalvingStrategy(inner, (500, 2000), FULL)) == [
        [(weight / 10, 500) for weight in range(1, 9)],
        [(weight / 10, 2000) for weight in range(1, 5)],
        [(0.1, FULL), (0.2, FULL)],
    ]


def test_the_share_can_be_chosen() -> None:
    inner = Listed([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    rounds = run(HalvingStrategy(inner, (500,), FULL, keep=0.25))
    assert rounds[1] == [(0.1, FULL), (0.2, FULL)]


def test_small_rounds_are_judged_together_and_promotions_come_with_the_next_round() -> None:
    rounds = ([0.8, 0.7, 0.6, 0.5], [0.4, 0.3, 0.2, 0.1], [0.01, 0.02])
    assert run(HalvingStrategy(Listed(*rounds), (500,), FULL)) == [
        [(0.8, 500), (0.7, 500), (0.6, 500), (0.5, 500)],
        [(0.4, 500), (0.3, 500), (0.2, 500), (0.1, 500)],
        [(0.4, FULL), (0.3, FULL), (0.2, FULL), (0.1, FULL), (0.01, 500), (0.02, 500)],
        [(0.01, FULL)],
    ]


@pytest.mark.parametrize("length", [1, 7, 9, 20])
def test_rounds_of_one_are_halved_and_none_is_forgotten_at_the_end(length: int) -> None:
    weights = [round(1 - i / 32, 10) for i in range(length)]
    rounds = run(HalvingStrategy(Listed(*([each] for each in weights)), (500, 2000), FULL))
    images = Counter(count for asked in rounds for _, count in asked)
    assert images[500] == length
    assert images[2000] <= length / 2 + 1.5
    assert (weights[-1], FULL) in [each for asked in rounds for each in asked]


def test_anchors_are_drawn_on_the_first_rung_and_the_inner_search_is_told_those_values() -> None:
    """A distance falls with the number of images, so a full set's would look better than it is."""

    def biased(candidate: Candidate, images: int) -> float:
        return candidate[0] + 1000 / images

    inner = Listed([0.3], [0.2])
    strategy = HalvingStrategy(inner, (500,), FULL)
    strategy.begin([Evaluation((each,), FULL, (biased((each,), FULL),)) for each in (0.0, 1.0)])
    assert strategy.ask() == [Proposal((0.0,), 500), Proposal((1.0,), 500)]
    while proposals := strategy.ask():
        strategy.tell(
            [
                Evaluation(
                    each.candidate, each.images or 0, (biased(each.candidate, each.images or 0),)
                )
                for each in proposals
            ]
        )
    assert [(each.candidate[0], each.value) for each in inner.begun] == [(0.0, 2.0), (1.0, 3.0)]
    assert [(each.candidate[0], each.value) for each in inner.told] == [(0.3, 2.3), (0.2, 2.2)]


def test_infinite_values_never_go_on() -> None:
    inner = Listed([0.1, 0.2])
    strategy = HalvingStrategy(inner, (500,), FULL)
    strategy.tell([Evaluation(each.candidate, 500, (math.inf,)) for each in strategy.ask()])
    assert strategy.ask() == []


def test_of_several_objectives_what_nothing_dominates_goes_on() -> None:
    values = {0.1: (1.0, 4.0), 0.2: (4.0, 1.0), 0.3: (2.0, 5.0), 0.4: (5.0, 5.0)}
    strategy = HalvingStrategy(Listed(list(values)), (500,), FULL)
    strategy.tell(
        [Evaluation(each.candidate, 500, values[each.candidate[0]]) for each in strategy.ask()]
    )
    assert {each.candidate[0] for each in strategy.ask()} >= {0.1, 0.2}
    assert (0.4,) not in {each.candidate for each in strategy.ask()}


def test_notes_stay_with_a_candidate_but_a_prediction_is_of_the_first_rung_alone() -> None:
    inner = Listed([0.1])
    inner.rounds[0] = [Proposal((0.1,), notes={"predicted": 7.0, "reason": "why"})]
    strategy = HalvingStrategy(inner, (500,), FULL)
    assert strategy.ask() == [Proposal((0.1,), 500, {"predicted": 7.0, "reason": "why"})]
    strategy.tell([Evaluation((0.1,), 500, (1.0,))])
    inner.rounds = []
    assert strategy.ask() == [Proposal((0.1,), FULL, {"reason": "why"})]


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_it_finds_the_same_candidate_for_less_than_half_the_images(batch: int) -> None:
    function = separable(2, 1)
    inner = EvolutionStrategy(UNIT, 60, batch=batch)
    found = search(HalvingStrategy(inner, (500, 2000), FULL), function, UNIT, anchors_of(2))
    whole = search(EvolutionStrategy(UNIT, 60, batch=batch), function, UNIT, anchors_of(2))
    drawn: Counter[Candidate] = Counter()
    for each in found.evaluations[len(anchors_of(2)) :]:
        drawn[each.candidate] = max(drawn[each.candidate], each.images)
    full = [each for each in found.evaluations if each.images == FULL]
    assert min(each.value for each in full) == function(found.best) == function(whole.best)
    assert drawn.total() < 0.5 * FULL * len(whole.asked)


@pytest.mark.parametrize(
    "inner",
    [
        lambda: RandomStrategy(UNIT, 60),
        lambda: GridStrategy(UNIT, 5, 1),
        lambda: CmaEsStrategy(UNIT, 60),
    ],
)
def test_what_is_expected_is_near_what_it_takes(inner: type[Strategy]) -> None:
    strategy = HalvingStrategy(inner(), (500, 2000), FULL)
    strategy.begin([evaluation(separable(2), anchor) for anchor in anchors_of(2)])
    expected = strategy.expected_evaluations()
    taken = len(
        search(HalvingStrategy(inner(), (500, 2000), FULL), separable(2), UNIT, anchors_of(2)).asked
    )
    assert taken == pytest.approx(expected, rel=0.3)


@pytest.mark.parametrize(
    ("promotions", "keep", "message"),
    [
        ((), 0.5, r"from \[\] to 5000 images goes nowhere\. Fix: give search\.promotions"),
        ((2000, 500), 0.5, r"from \[2000, 500\] to 5000 images goes nowhere"),
        ((500, 5000), 0.5, r"goes nowhere"),
        ((500,), 1.0, r"A share of 1\.0 cannot be kept"),
    ],
)
def test_rungs_that_lead_nowhere_are_refused(
    promotions: tuple[int, ...], keep: float, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        HalvingStrategy(Listed([0.1]), promotions, FULL, keep)
