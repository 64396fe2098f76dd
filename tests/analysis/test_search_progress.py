import math
from typing import Any

import pytest
from matplotlib.figure import Figure

from deme.analysis import draw_search_progress, search_progress


def record(*evaluations: tuple[list[float], float]) -> dict[str, Any]:
    return {"evaluations": [{"weights": w, "value": v} for w, v in evaluations]}


def test_the_best_so_far_only_falls_and_starts_at_the_first_value() -> None:
    data = search_progress(record(([1, 0], 5.0), ([0, 1], 7.0), ([1, 1], 3.0), ([0, 0], 4.0)))
    assert data.best == (5.0, 5.0, 3.0, 3.0)


def test_zero_and_uniform_weights_are_found_where_they_were_evaluated() -> None:
    data = search_progress(record(([0, 0], 9.0), ([0.5, 0.5], 8.0), ([1, 0], 7.0)))
    assert (data.at_zero, data.at_uniform) == (9.0, 8.0)
    none = search_progress(record(([0, 1], 9.0)))
    assert (none.at_zero, none.at_uniform) == (None, None)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_values_that_are_not_finite_never_are_the_best(bad: float) -> None:
    data = search_progress(record(([0, 0], bad), ([1, 0], 6.0), ([0, 1], bad)))
    assert math.isnan(data.best[0])
    assert data.best[1:] == (6.0, 6.0)
    assert data.at_zero is None


def test_far_off_candidates_do_not_flatten_the_rest() -> None:
    values = [10.0, *(9.0 - 0.1 * i for i in range(20)), 5000.0]
    axes = Figure().subplots()
    draw_search_progress(axes, search_progress(record(*(([float(v)], v) for v in values))))
    low, high = axes.get_ylim()
    assert low < min(values)
    assert high < 20


def test_a_search_with_no_finite_value_is_an_empty_drawing() -> None:
    axes = Figure().subplots()
    draw_search_progress(axes, search_progress(record(([0], math.inf))))
    assert not axes.lines
