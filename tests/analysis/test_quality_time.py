from typing import Any

import pytest
from matplotlib.figure import Figure

from deme.analysis import draw_quality_time, quality_time, quality_time_size


def point(arm: str, steps: int, mean: float | None, **more: Any) -> dict[str, Any]:
    number = {"mean": mean, "std": 0.1}
    usual = {"arm": arm, "sampler_steps": steps, "metrics": {"a": {"frechet": number}}}
    return {**usual, "flops": 1e9 * steps, "seconds": 1e-3 * steps, **more}


def record() -> dict[str, Any]:
    return {
        "reference": "ours",
        "arms": {"ours": {"title": "Ours"}, "theirs": {"title": "Theirs"}},
        "floor": {"a": {"frechet": {"mean": 2.0, "std": 0.1}}},
        "curve": [
            point("theirs", 10, 5.0),
            point("ours", 20, 3.0),
            point("ours", 5, 6.0),
        ],
    }


def test_points_are_in_increasing_cost_and_in_the_units_that_are_drawn() -> None:
    data = quality_time(record(), "a", "frechet")
    assert [curve.title for curve in data.curves] == ["Theirs", "Ours"]
    ours = data.curves[1]
    assert ours.is_reference
    shown = [(point.sampler_steps, point.cost, point.mean) for point in ours.points]
    assert shown == [(5, 5.0, 6.0), (20, 20.0, 3.0)]
    operations = quality_time(record(), "a", "frechet", "flops")
    assert [p.cost for p in operations.curves[1].points] == [5e9, 2e10]


@pytest.mark.parametrize(
    "broken",
    [point("ours", 1, None), point("ours", 1, 4.0, seconds=None), point("ours", 1, float("nan"))],
)
def test_points_without_a_number_or_a_cost_are_left_out(broken: dict[str, Any]) -> None:
    given = record()
    given["curve"].append(broken)
    assert quality_time(given, "a", "frechet") == quality_time(record(), "a", "frechet")


def test_a_record_without_a_curve_has_none() -> None:
    assert quality_time({**record(), "curve": []}, "a", "frechet").curves == ()
    assert quality_time(record(), "b", "frechet").curves == ()


@pytest.mark.parametrize("cost", ["seconds", "flops"])
def test_every_arm_is_drawn_once_and_named_once(cost: Any) -> None:
    panels = [quality_time(record(), "a", "frechet", cost)] * 2
    figure = Figure(quality_time_size(panels), layout="constrained")
    draw_quality_time(figure, panels, title="distance")
    figure.draw_without_rendering()
    assert len(figure.axes) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Theirs", "Ours"]
    for axes in figure.axes:
        assert axes.get_xscale() == "log"
        assert len(axes.containers) == 2


def test_the_reference_says_its_steps_and_the_floor_is_drawn_where_it_is_near() -> None:
    def texts(given: dict[str, Any]) -> list[str]:
        figure = Figure(layout="constrained")
        draw_quality_time(figure, [quality_time(given, "a", "frechet")], title="distance")
        return [text.get_text() for text in figure.axes[0].texts]

    near = texts(record())
    assert near == ["5 steps", "20 steps", "floor: real against real"]
    far = {**record(), "floor": {"a": {"frechet": {"mean": -50.0, "std": 0.1}}}}
    assert texts(far) == near[:2]
