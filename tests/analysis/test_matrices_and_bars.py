from typing import Any

import pytest
from matplotlib.figure import Figure

from deme.analysis import (
    arm_distances,
    draw_arm_distances,
    draw_merging_weights,
    draw_task_vector_cosines,
    expert_label,
    merging_weights,
    task_vector_cosines,
    three_figures,
)
from deme.analysis.style import range_colours, signed
from deme.errors import DataError


def test_the_cosines_are_drawn_off_the_diagonal_and_the_norms_on_it() -> None:
    record = {
        "names": ["t0000-0500", "t0500-1000"],
        "cosines": [[1.0, -0.04], [-0.04, 1.0]],
        "norms": [0.5, 0.25],
        "relative_norms": [0.01, 0.005],
    }
    axes = Figure().subplots()
    draw_task_vector_cosines(axes, task_vector_cosines(record))
    shown = [text.get_text() for text in axes.texts]
    assert shown == ["‖τ‖ 0.500", "−0.040", "−0.040", "‖τ‖ 0.250"]


@pytest.mark.parametrize("broken", [{"norms": [1.0]}, {"cosines": [[1.0, 0.0]]}])
def test_cosines_that_do_not_fit_the_experts_are_refused(broken: dict[str, Any]) -> None:
    record = {
        "names": ["a", "b"],
        "cosines": [[1, 0], [0, 1]],
        "norms": [1, 1],
        "relative_norms": [1, 1],
        **broken,
    }
    with pytest.raises(DataError, match="2 experts"):
        task_vector_cosines(record)


def test_weights_of_both_signs_are_drawn_to_their_sides() -> None:
    axes = Figure().subplots()
    draw_merging_weights(axes, merging_weights(["t0000-0500", "self"], [0.75, -0.5]))
    assert [patch.get_width() for patch in axes.patches] == [0.75, -0.5]  # type: ignore[attr-defined]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0–500", "self"]
    assert axes.yaxis_inverted()


def test_weights_that_do_not_fit_the_experts_are_refused() -> None:
    with pytest.raises(DataError, match="3 merging weights do not fit 2 experts"):
        merging_weights(["a", "b"], [1, 2, 3])


def test_arms_without_the_metric_are_left_out_and_the_floor_is_optional() -> None:
    number = {"mean": 12.0, "std": 0.5, "values": [11.5, 12.5]}
    metrics = {
        "arms": {
            "pretrained": {"title": "before", "metrics": {"digits": {"frechet": number}}},
            "routed": {"metrics": {"digits": {"kid": number}}},
        }
    }
    data = arm_distances(metrics, "digits", "frechet")
    assert [(arm.title, arm.mean, arm.values) for arm in data.arms] == [
        ("before", 12.0, (11.5, 12.5))
    ]
    assert data.floor is None


def test_arms_are_drawn_in_order_with_their_means_and_the_floor() -> None:
    def arm(mean: float) -> dict[str, Any]:
        return {"metrics": {"digits": {"frechet": {"mean": mean, "std": 0.1, "values": [mean]}}}}

    metrics = {
        "arms": {"pretrained": arm(14.0), "merged": arm(12.25)},
        "floor": {"digits": {"frechet": {"mean": 3.0, "std": 0.2}}},
    }
    axes = Figure().subplots()
    draw_arm_distances(axes, arm_distances(metrics, "digits", "frechet"), digits=2)
    assert [text.get_text() for text in axes.texts] == ["14.00", "12.25", "floor"]
    low, high = axes.get_xlim()
    assert low < 3.0 - 0.2
    assert high > 14.0
    assert axes.yaxis_inverted()


def test_only_names_that_tell_a_range_become_ranges() -> None:
    assert expert_label("t0250-0500") == "250–500"
    assert expert_label("t0000-12000") == "0–12000"
    assert expert_label("self t0250-0500") == "self t0250-0500"


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.00"), (-0.001, "0.00"), (0.5, "+0.50"), (-1.234, "−1.23")]
)
def test_a_sign_is_shown_and_zero_has_none(value: float, text: str) -> None:
    assert signed(value, 2) == text


def test_three_figures_keep_their_zeros() -> None:
    assert [three_figures(v) for v in (0.51, 12.0, 512.4)] == ["0.510", "12.0", "512"]


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_every_range_has_a_colour_of_its_own(count: int) -> None:
    assert len(set(range_colours(count))) == count
