import itertools
import math

import pytest
from matplotlib.figure import Figure

from deme.analysis import StrategyCurve, draw_strategy_curves, strategy_curves
from deme.analysis.edge_labels import spread
from deme.errors import DataError

RACE = {
    "grid": [(5, 36.0, 36.4), (60, 33.0, 33.9), (700, 31.0, 31.8)],
    "random": [(5, 36.0, None), (30, 34.0, None)],
    "surface": [(5, 36.0, 36.4), (12, 31.5, 31.9), (24, 30.0, 30.6)],
}


def texts(axes_of: list[StrategyCurve], **settings: dict[str, float]) -> list[str]:
    axes = Figure(layout="constrained").subplots()
    draw_strategy_curves(axes, axes_of, **settings)  # type: ignore[arg-type]
    return [text.get_text() for text in axes.texts]


def test_each_strategy_is_labelled_with_its_last_held_out_value() -> None:
    assert texts(strategy_curves(RACE)) == ["grid 31.8", "random 34", "surface 30.6"]


def test_targets_are_drawn_across_and_named() -> None:
    assert "coarse-to-fine 31.8" in texts(strategy_curves(RACE), targets={"coarse-to-fine": 31.8})


def test_costs_are_logarithmic_and_every_line_reaches_the_end() -> None:
    axes = Figure().subplots()
    draw_strategy_curves(axes, strategy_curves(RACE))
    assert axes.get_xscale() == "log"
    ends = {max(map(float, line.get_xdata())) for line in axes.lines}  # type: ignore[arg-type]
    assert ends == {700.0}


def test_values_that_were_not_judged_are_told_from_those_that_were() -> None:
    curves = {curve.name: curve for curve in strategy_curves(RACE)}
    assert math.isnan(curves["random"].held_out[0])
    assert curves["random"].final == 34.0
    assert curves["surface"].final == 30.6


@pytest.mark.parametrize("rows", [[], [(0, 1.0, 1.0)], [(5, 1.0, 1.0), (3, 1.0, 1.0)]])
def test_costs_that_do_not_increase_are_refused(
    rows: list[tuple[float, float, float | None]],
) -> None:
    with pytest.raises(DataError, match="'odd'"):
        strategy_curves({"odd": rows})


def test_nothing_to_compare_is_an_empty_drawing() -> None:
    assert texts([]) == []


@pytest.mark.parametrize(
    "places", [[0.5, 0.5, 0.5], [0.0, 0.01, 0.02], [1.0, 0.98, 0.2], [0.1, 0.9], [0.4] * 12]
)
def test_labels_never_overlap_and_keep_their_order(places: list[float]) -> None:
    moved = spread(places, 0.09, 0, 1)
    gap = min(0.09, 1 / (len(places) - 1))
    ordered = sorted(moved)
    assert all(b - a > gap - 1e-9 for a, b in itertools.pairwise(ordered))
    assert min(moved) >= -1e-9
    assert max(moved) <= 1 + 1e-9
    pairs = sorted(zip(places, moved, strict=True))
    assert [move for _, move in pairs] == sorted(moved)


def test_labels_far_apart_stay_where_they_are() -> None:
    assert spread([0.1, 0.5, 0.9], 0.09, 0, 1) == [0.1, 0.5, 0.9]
    assert spread([], 0.09, 0, 1) == []
