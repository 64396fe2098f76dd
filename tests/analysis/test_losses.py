import math
from typing import Any

import pytest
from matplotlib.figure import Figure

from deme.analysis import draw_loss_curves, loss_curves
from deme.analysis.losses import running_mean


def training(name: str, values: list[float], consistency: float = 0.5) -> dict[str, Any]:
    losses = [
        {"step": 10 * (i + 1), "denoising": v, "consistency": consistency * v}
        for i, v in enumerate(values)
    ]
    return {"name": name, "timesteps": [0, 250], "losses": losses}


def test_a_curve_holds_what_was_logged_in_order() -> None:
    (curve,) = loss_curves([training("t0000-0250", [3.0, 1.0, 2.0])])
    assert curve.steps == (10, 20, 30)
    assert curve.values == (3.0, 1.0, 2.0)


def test_values_that_are_not_finite_are_left_out_of_curve_and_mean() -> None:
    (curve,) = loss_curves([training("a", [1.0, math.nan, math.inf, 2.0])])
    assert curve.steps == (10, 40)
    assert all(math.isfinite(value) for value in curve.smoothed)


def test_a_loss_that_was_switched_off_has_no_curve() -> None:
    off = training("off", [1.0, 2.0], consistency=0.0)
    on = training("on", [1.0, 2.0])
    assert [curve.name for curve in loss_curves([off, on], "consistency")] == ["on"]


def test_a_record_without_the_quantity_has_no_curve() -> None:
    record = {"name": "joint", "timesteps": [0, 1000], "losses": [{"step": 1, "denoising": 1.0}]}
    assert loss_curves([record], "consistency") == []


def test_a_running_mean_keeps_a_constant_and_the_inside_of_a_line() -> None:
    assert running_mean([2.0] * 7, 2) == pytest.approx([2.0] * 7)
    line = [0.5 * i for i in range(20)]
    assert running_mean(line, 3)[3:-3] == pytest.approx(line[3:-3])


def test_a_running_mean_of_no_width_is_the_values() -> None:
    assert running_mean([1.0, 5.0, 2.0], 0) == (1.0, 5.0, 2.0)


def test_a_running_mean_weighs_all_values_of_its_window_alike() -> None:
    impulse = [0.0] * 5 + [1.0] + [0.0] * 5
    assert running_mean(impulse, 2)[3:8] == pytest.approx([0.2] * 5)


def test_curves_far_apart_are_drawn_on_a_logarithmic_axis() -> None:
    near, far = Figure().subplots(), Figure().subplots()
    draw_loss_curves(near, loss_curves([training("a", [1.0, 1.1]), training("b", [1.2, 1.3])]))
    draw_loss_curves(far, loss_curves([training("a", [1.0, 1.1]), training("b", [0.01, 0.02])]))
    assert near.get_yscale() == "linear"
    assert far.get_yscale() == "log"


def test_every_expert_is_named_in_the_legend() -> None:
    axes = Figure().subplots()
    names = [f"t{low:04d}-{low + 125:04d}" for low in range(0, 1000, 125)]
    draw_loss_curves(axes, loss_curves([training(name, [1.0, 2.0]) for name in names]))
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][:2] == ["0–125", "125–250"]
    assert len(legend.get_texts()) == 8
