"""Random and quasi-random draws."""

from __future__ import annotations

import pytest

from deme.search.space import Box
from deme.search.strategies import RandomStrategy, SobolStrategy
from search.strategies.quadratics import anchors_of, search, separable

UNIT = Box.cube((0.0, 1.0), 2)


def test_the_best_random_draw_is_among_the_best_share_as_often_as_stated() -> None:
    """Where a function is its first weight, the best of 20 is below q with 1 − (1 − q)^20."""
    box = Box.cube((0.0, 1.0), 1)
    best = [
        search(RandomStrategy(box, 20, seed=seed), lambda w: w[0], box).best[0]
        for seed in range(200)
    ]
    for q in (0.02, 0.05, 0.1):
        expected = 1 - (1 - q) ** 20
        found = sum(each < q for each in best) / len(best)
        assert found == pytest.approx(expected, abs=0.11)  # three standard deviations


@pytest.mark.parametrize("n", [1, 4, 12])
def test_sobol_points_have_one_in_every_part_of_each_weight(n: int) -> None:
    box = Box.cube((-1.0, 3.0), n)
    asked = search(SobolStrategy(box, 32), separable(n), box).asked
    for axis in range(n):
        parts = sorted(int((candidate[axis] + 1) / 4 * 32) for candidate in asked)
        assert parts == list(range(32))


@pytest.mark.parametrize("maker", [RandomStrategy, SobolStrategy])
def test_the_batch_changes_the_rounds_and_not_the_points(maker: type[RandomStrategy]) -> None:
    by_batch = {
        batch: search(maker(UNIT, 10, batch=batch), separable(2), UNIT) for batch in (1, 4, 16)
    }
    assert [len(asked) for asked in by_batch[4].rounds] == [4, 4, 2]
    assert by_batch[1].asked == by_batch[4].asked == by_batch[16].asked


@pytest.mark.parametrize("maker", [RandomStrategy, SobolStrategy])
def test_what_is_told_changes_nothing(maker: type[RandomStrategy]) -> None:
    one = search(maker(UNIT, 10), separable(2, 1), UNIT)
    other = search(maker(UNIT, 10), separable(2, 2), UNIT, anchors_of(2))
    assert one.asked == other.asked
