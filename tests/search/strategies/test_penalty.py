"""Finite values in place of infinite ones."""

from __future__ import annotations

import math

from deme.search.strategies.penalty import Penalty


def test_infinite_values_become_worse_than_all_that_is_known_but_no_outliers() -> None:
    penalty = Penalty()
    assert penalty.replace_infinite([(1.0,), (math.inf,), (3.0,)]) == [(1.0,), (5.0,), (3.0,)]
    assert penalty.replace_infinite([(math.inf,), (11.0,)]) == [(21.0,), (11.0,)]


def test_each_objective_has_its_own() -> None:
    penalty = Penalty()
    told = [(1.0, math.inf), (2.0, 10.0), (math.inf, 20.0)]
    assert penalty.replace_infinite(told) == [(1.0, 30.0), (2.0, 10.0), (3.0, 20.0)]


def test_nothing_is_made_up_while_nothing_is_finite() -> None:
    penalty = Penalty()
    assert penalty.replace_infinite([(math.inf,)]) is None
    assert penalty.replace_infinite([]) is None
    assert penalty.replace_infinite([(math.inf,), (2.0,)]) == [(2.0,), (2.0,)]
