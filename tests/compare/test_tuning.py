"""Which trial is kept."""

import math

from deme.compare.contender import Setting
from deme.compare.tuning import Trial, best_of

FIRST, SECOND, THIRD = Setting(1e-3), Setting(2e-3), Setting(3e-3)


def test_the_smallest_value_is_kept_and_one_that_is_not_a_number_never() -> None:
    trials = [Trial(FIRST, math.nan), Trial(SECOND, 3.0), Trial(THIRD, 2.0)]
    assert best_of(trials).setting == THIRD
    assert best_of(trials).trials == tuple(trials)


def test_without_measurements_the_first_is_kept() -> None:
    assert best_of([Trial(SECOND, None), Trial(FIRST, None)]).setting == SECOND
