import math
from collections.abc import Callable
from pathlib import Path

import pytest

from deme.errors import TrainingError
from deme.search import (
    Box,
    Candidate,
    GridStrategy,
    Journal,
    SearchResult,
    search_weights,
)

ANCHORS = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.4, 0.4))


def quadratic(weights: Candidate) -> float:
    return (weights[0] - 0.3) ** 2 + (weights[1] + 0.2) ** 2


class Counting:
    """A function that notes its calls and may be killed at one of them."""

    def __init__(
        self, function: Callable[[Candidate], float] = quadratic, killed_at: int | None = None
    ) -> None:
        self.function = function
        self.killed_at = killed_at
        self.calls: list[Candidate] = []

    def __call__(self, weights: Candidate) -> float:
        if len(self.calls) == self.killed_at:
            raise KeyboardInterrupt
        self.calls.append(weights)
        return self.function(weights)


def run(path: Path, evaluate: Callable[[Candidate], float], key: str = "key") -> SearchResult:
    strategy = GridStrategy(Box.cube((-1.0, 1.0), 2), 3, 1)
    return search_weights(strategy, evaluate, Journal(path, key), anchors=ANCHORS)


def test_anchors_come_first_and_once(tmp_path: Path) -> None:
    counting = Counting()
    result = run(tmp_path / "journal", counting)
    assert counting.calls[:4] == list(ANCHORS)
    assert len(counting.calls) == len(set(counting.calls)) == 9 + 8 + 1  # one anchor is off grid
    assert [weights for weights, _ in result.evaluations] == counting.calls
    assert all(value == quadratic(weights) for weights, value in result.evaluations)


def test_the_best_of_all_is_found_the_anchors_too(tmp_path: Path) -> None:
    result = run(tmp_path / "one", quadratic)
    assert result.best == (0.5, 0.0) and result.value == quadratic((0.5, 0.0))
    anchor = run(tmp_path / "two", lambda w: abs(w[0] - 0.4) + abs(w[1] - 0.4))
    assert anchor.best == (0.4, 0.4) and anchor.value == 0.0


@pytest.mark.parametrize("killed_at", [0, 1, 4, 9, 17])
def test_a_killed_search_ends_as_if_it_had_never_stopped(tmp_path: Path, killed_at: int) -> None:
    expected = run(tmp_path / "whole", Counting())
    first, second = Counting(killed_at=killed_at), Counting()
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "killed", first)
    assert run(tmp_path / "killed", second) == expected
    assert [*first.calls, *second.calls] == [weights for weights, _ in expected.evaluations]
    assert (tmp_path / "killed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_finished_search_evaluates_nothing(tmp_path: Path) -> None:
    expected = run(tmp_path / "journal", quadratic)
    again = Counting()
    assert run(tmp_path / "journal", again) == expected and again.calls == []


def test_a_journal_of_another_key_starts_anew(tmp_path: Path) -> None:
    run(tmp_path / "journal", quadratic)
    other = Counting()
    run(tmp_path / "journal", other, key="other")
    assert len(other.calls) == 18


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_never_the_best(tmp_path: Path, bad: float) -> None:
    def function(weights: Candidate) -> float:
        return bad if weights[0] >= 0 else quadratic(weights)

    result = run(tmp_path / "journal", function)
    assert result.best == (-0.5, 0.0) and math.isfinite(result.value)
    assert dict(result.evaluations)[0.0, 0.0] == math.inf
    assert run(tmp_path / "journal", Counting(killed_at=0)) == result


def test_a_search_in_which_nothing_is_finite_fails(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"No merging weights gave a finite objective\. Fix:"):
        run(tmp_path / "journal", lambda _: math.nan)


def test_progress_is_told_after_each_evaluation_with_the_best_so_far(tmp_path: Path) -> None:
    told: list[tuple[int, int, float]] = []
    strategy = GridStrategy(Box.cube((-1.0, 1.0), 2), 3, 1)
    result = search_weights(
        strategy,
        quadratic,
        Journal(tmp_path / "journal", "key"),
        anchors=ANCHORS,
        on_progress=lambda *values: told.append(values),
    )
    assert [done for done, _, _ in told] == list(range(1, 19))
    assert all(done <= total for done, total, _ in told)
    best = [value for _, _, value in told]
    assert best == sorted(best, reverse=True) and best[-1] == result.value
