import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from deme.analysis import (
    PredictedLandscape,
    draw_predicted_landscape,
    predicted_landscape,
    predicted_landscape_size,
)
from deme.errors import DataError
from report.fake_search import bowl, search

WEIGHTS = [0.6, -0.2, 0.4, 0.9, 0.1, 0.3, -0.1, 0.5]


def record(count: int) -> dict[str, Any]:
    return search([f"e{i}" for i in range(count)], WEIGHTS[:count])


def read(given: dict[str, Any], limit: int = 6) -> PredictedLandscape:
    data = predicted_landscape(given, limit=limit)
    assert data is not None
    return data


def drawn(data: PredictedLandscape) -> Figure:
    figure = Figure(predicted_landscape_size(data), layout="constrained")
    draw_predicted_landscape(figure, data)
    figure.draw_without_rendering()
    return figure


def test_a_slice_holds_what_was_predicted_at_its_two_weights() -> None:
    data = read(record(3))
    panel = data.panels[2, 0]
    for row, column in [(0, 0), (3, 7), (8, 2)]:
        point = [panel.x[column], WEIGHTS[1], panel.y[row]]
        assert panel.values[row, column] == pytest.approx(bowl(point, WEIGHTS[:3]) + 0.1)


def test_a_slice_given_the_other_way_round_is_turned() -> None:
    given = record(3)
    turned = copy.deepcopy(given)
    for item in turned["landscape"]["slices"]:
        item.update(x=item["y"], y=item["x"], xs=item["ys"], ys=item["xs"])
        item["values"] = np.array(item["values"]).T.tolist()
    for pair, panel in read(given).panels.items():
        np.testing.assert_array_equal(panel.values, read(turned).panels[pair].values)


def test_the_evaluated_points_lie_on_it_the_nearer_the_smaller_their_offset() -> None:
    given = record(3)
    data = read(given)
    panel = data.panels[1, 0]
    assert len(panel.points) == len(given["evaluations"]) == len(data.measured)
    for point, near, item in zip(panel.points, panel.nearness, given["evaluations"], strict=True):
        assert point.tolist() == item["point"][:2]
        offset = (item["point"][2] - WEIGHTS[2]) / 2.0  # the axis is 2 wide
        assert near == pytest.approx(math.exp(-(offset**2) / (2 * 0.2**2)))
    best = given["evaluations"].index(next(e for e in given["evaluations"] if e["value"] == 27.4))
    assert panel.nearness[best] == 1.0


def test_base_uniform_and_optimum_are_marked_in_every_panel() -> None:
    data = read(record(2))
    assert (data.zero, data.uniform, data.optimum) == ((0.0, 0.0), (0.5, 0.5), (0.6, -0.2))
    axes = drawn(data).axes[0]
    drawn_at = [np.asarray(item.get_offsets()).tolist() for item in axes.collections]
    offsets = {tuple(place) for places in drawn_at for place in places}
    assert offsets >= {(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.6, -0.2)}


@pytest.mark.parametrize("count", [2, 3, 5])
def test_it_is_drawn_for_any_number_of_axes(count: int) -> None:
    data = read(record(count))
    assert set(data.panels) == {(i, j) for i in range(count) for j in range(i)}
    # The key, and its bar of colours as an inset of it.
    assert len(drawn(data).axes) == len(data.panels) + 1


def test_too_many_axes_leave_out_those_along_which_least_changes() -> None:
    given = record(8)
    for item in given["landscape"]["slices"]:
        flat = {1, 5} & {item["x"], item["y"]}
        if flat:
            item["values"] = np.full((9, 9), 30.0).tolist()
    data = read(given)
    assert data.left_out == ("e1", "e5")
    assert data.names == ("e0", "e2", "e3", "e4", "e6", "e7")


def test_pairs_that_were_not_predicted_stay_empty() -> None:
    given = record(4)
    given["landscape"]["slices"] = given["landscape"]["slices"][:3]
    data = read(given)
    assert set(data.panels) == {(1, 0), (2, 0), (3, 0)}
    drawn(data)


def test_gaps_in_the_prediction_stay_gaps() -> None:
    given = record(2)
    given["landscape"]["slices"][0]["values"][0][0] = None
    data = read(given)
    assert math.isnan(data.panels[1, 0].values[0, 0])
    assert math.isfinite(data.best)
    drawn(data)


@pytest.mark.parametrize("missing", [None, {}, {"slices": []}])
def test_a_strategy_that_predicts_nothing_has_none(missing: Any) -> None:
    assert predicted_landscape({**record(2), "landscape": missing}) is None


def test_one_axis_has_no_pair() -> None:
    assert predicted_landscape(record(1)) is None


@pytest.mark.parametrize("broken", [{"x": 7}, {"x": 1}, {"xs": [0.0, 1.0]}])
def test_slices_that_do_not_fit_are_refused(broken: dict[str, Any]) -> None:
    given = record(2)
    given["landscape"]["slices"][0].update(broken)
    with pytest.raises(DataError, match="fit"):
        predicted_landscape(given)


def test_marks_of_weights_are_left_out_on_other_axes() -> None:
    names = ["a", "density"]
    given = search(["a"], [0.4], "density")
    given["landscape"] = search(names, [0.4, 0.43])["landscape"]
    data = read(given)
    assert list(itertools.chain(data.zero, data.uniform)) == [0.0, None, 1.0, None]
    drawn(data)
