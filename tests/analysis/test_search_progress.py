import math
from typing import Any

import pytest
from matplotlib.figure import Figure

from deme.analysis import draw_search_progress, search_progress


def record(*evaluations: tuple[list[float], float], **more: Any) -> dict[str, Any]:
    count = len(evaluations[0][0])
    found = [{"weights": w, "value": v} for w, v in evaluations]
    best = min(found, key=lambda item: item["value"] if math.isfinite(item["value"]) else math.inf)
    return {
        "experts": [f"e{i}" for i in range(count)],
        "bounds": [0, 1],
        "evaluations": found,
        **best,
        **more,
    }


def texts(data: dict[str, Any]) -> list[str]:
    axes = Figure().subplots()
    draw_search_progress(axes, search_progress(data))
    return [text.get_text() for text in axes.texts]


def test_the_best_so_far_only_falls_and_starts_at_the_first_value() -> None:
    data = search_progress(record(([1, 0], 5.0), ([0, 1], 7.0), ([1, 1], 3.0), ([0, 0], 4.0)))
    assert data.best == (5.0, 5.0, 3.0, 3.0)


def test_cost_adds_up_in_sample_sets() -> None:
    given = record(([1, 0], 5.0), ([0, 1], 7.0), ([1, 1], 3.0))
    for item, cost in zip(given["evaluations"], (0.1, 0.4, 1.0), strict=True):
        item["cost"] = cost
    assert search_progress(given).costs == pytest.approx((0.1, 0.5, 1.5))


def test_values_on_fewer_images_never_are_the_best() -> None:
    given = record(([1, 0], 5.0), ([0.3, 1], 2.0), ([1, 0.5], 4.0))
    for item, images in zip(given["evaluations"], (100, 25, 100), strict=True):
        item["images"] = images
    data = search_progress(given)
    assert data.partial == (False, True, False)
    assert data.best == (5.0, 5.0, 4.0)


def test_zero_and_uniform_weights_are_found_where_they_were_evaluated() -> None:
    data = search_progress(record(([0, 0], 9.0), ([0.5, 0.5], 8.0), ([1, 0.2], 7.0)))
    assert (data.at_zero, data.at_uniform) == (9.0, 8.0)
    assert data.anchors == (True, True, False)
    none = search_progress(record(([0, 1], 9.0)))
    assert (none.at_zero, none.at_uniform) == (None, None)


def test_the_fresh_score_of_the_winner_is_a_line_with_its_value() -> None:
    given = record(([0, 0], 9.0), ([1, 0.2], 7.0), fresh={"value": 7.6})
    assert texts(given) == ["pretrained 9", "best, fresh noise 7.6", "best 7"]
    del given["fresh"]
    assert texts(given) == ["pretrained 9", "best 7"]


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
