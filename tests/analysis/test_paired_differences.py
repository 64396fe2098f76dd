from collections.abc import Mapping
from typing import Any

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from deme.analysis import (
    PairedDifference,
    draw_paired_differences,
    paired_differences,
    paired_differences_size,
)
from deme.analysis.style import ACCENT, MUTED, SURFACE


def record(differences: Mapping[str, tuple[float, float | None, float | None]]) -> dict[str, Any]:
    arms: dict[str, Any] = {"ours": {"title": "Ours"}}
    for name, (mean, low, high) in differences.items():
        entry = {"mean": mean, "low": low, "high": high}
        arms[name] = {"title": name.upper(), "against": {d: {"frechet": entry} for d in "ab"}}
    return {"reference": "ours", "detectors": ["a", "b"], "arms": arms}


GIVEN = record({"p": (-1.0, -1.5, -0.5), "q": (0.4, 0.1, 0.7), "r": (-0.2, -0.6, 0.2)})


def test_the_strongest_rival_stands_first_whichever_way_the_metric_goes() -> None:
    assert paired_differences(GIVEN, "frechet").titles == ("Q", "R", "P")
    turned = paired_differences(GIVEN, "frechet", lower_is_better=False)
    assert turned.titles == ("P", "R", "Q")


@pytest.mark.parametrize(
    ("low", "high", "side"),
    [(-2, -1, -1), (1, 2, 1), (-1, 1, 0), (0, 1, 0), (float("nan"), float("nan"), 0)],
)
def test_a_side_needs_an_interval_clear_of_zero(low: float, high: float, side: int) -> None:
    assert PairedDifference((low + high) / 2, low, high).side == side


def test_what_was_not_measured_or_is_not_finite_is_left_out() -> None:
    given = record({"p": (-1.0, None, None), "q": (float("nan"), None, None)})
    del given["arms"]["p"]["against"]["b"]
    data = paired_differences(given, "frechet")
    assert data.titles == ("P",)
    assert list(data.panels) == ["a"]
    assert paired_differences(given, "kid").titles == ()


def drawn(given: dict[str, Any], **settings: Any) -> Figure:
    data = paired_differences(given, "frechet", **settings)
    figure = Figure(paired_differences_size(data), layout="constrained")
    draw_paired_differences(figure, data, title="distance", unseen=("b",))
    figure.draw_without_rendering()
    return figure


def test_each_detector_has_a_panel_with_every_difference_and_its_interval() -> None:
    figure = drawn(GIVEN)
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == [
            "+0.40 (+0.10 to +0.70)",
            "−0.20 (−0.60 to +0.20)",
            "−1.00 (−1.50 to −0.50)",
        ]
    assert "never seen by the search" in figure.axes[1].get_title(loc="left")


def colours(figure: Figure) -> list[str]:
    return [to_hex(points.get_facecolor()[0]) for points in figure.axes[0].collections]  # type: ignore[index]


def test_better_level_and_worse_have_three_colours_that_turn_with_the_metric() -> None:
    worse, level, better = colours(drawn(GIVEN))
    assert (level, better) == (MUTED, ACCENT)
    assert worse not in (level, better)
    # turned, P stands first and it is the better arm now
    assert colours(drawn(GIVEN, lower_is_better=False)) == [worse, level, better]


def test_one_arm_far_off_does_not_squeeze_the_others() -> None:
    near = {name: (-1.0 - 0.1 * i, -1.3, -0.7) for i, name in enumerate("pqrs")}
    axes = drawn(record({**near, "far": (-90.0, -91.0, -89.0)})).axes[0]
    low, high = axes.get_xlim()
    assert high - low < 4
    assert "−90.00 (−91.00 to −89.00)" in [text.get_text() for text in axes.texts]


def test_one_wide_interval_does_not_squeeze_the_others_and_equal_ones_are_whole() -> None:
    usual = dict.fromkeys("pqr", (-0.1, -5.0, 4.8))
    low, high = drawn(record(usual)).axes[0].get_xlim()
    assert low < -5.0
    assert high > 4.8
    wide = drawn(record({**usual, "wide": (-0.1, -500.0, 500.0)})).axes[0].get_xlim()
    assert wide[1] - wide[0] < 25


def test_an_arm_without_an_interval_is_a_hollow_dot() -> None:
    axes = drawn(record({"p": (-1.0, None, None)})).axes[0]
    assert [text.get_text() for text in axes.texts] == ["−1.00"]
    (dot,) = axes.collections
    assert to_hex(dot.get_facecolor()[0]) == SURFACE  # type: ignore[index]


@pytest.mark.parametrize("mean", [0.0, 1e-7, 1e7])
def test_any_size_of_difference_is_drawn(mean: float) -> None:
    assert drawn(record({"p": (mean, mean, mean)})).axes


def test_many_detectors_go_on_in_another_row() -> None:
    given = record({"p": (-1.0, -1.5, -0.5)})
    given["detectors"] = list("abcde")
    entry = given["arms"]["p"]["against"]["a"]
    given["arms"]["p"]["against"] = dict.fromkeys("abcde", entry)
    data = paired_differences(given, "frechet")
    two_rows, one_row = (
        paired_differences_size(data),
        paired_differences_size(paired_differences({**given, "detectors": list("abc")}, "frechet")),
    )
    assert two_rows[0] == one_row[0]
    assert two_rows[1] == 2 * one_row[1]
