import itertools
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from deme.analysis import Landscape, draw_landscape, landscape
from deme.errors import DataError

LEVELS = (-0.5, 0.0, 0.5, 1.0)


def bowl(weights: tuple[float, ...]) -> float:
    """A quadratic whose weights interact; its minimum is off the grid."""
    offset = np.array(weights) - np.linspace(0.2, 0.7, len(weights))
    return 10 + float(offset @ offset) + 0.5 * float(offset.sum()) ** 2


def search(points: list[tuple[float, ...]], values: list[float] | None = None) -> dict[str, Any]:
    found = [bowl(point) for point in points] if values is None else values
    best = int(np.nanargmin([v if np.isfinite(v) else np.nan for v in found]))
    return {
        "experts": [f"e{i}" for i in range(len(points[0]))],
        "weights": list(points[best]),
        "value": found[best],
        "evaluations": [
            {"weights": list(point), "value": value}
            for point, value in zip(points, found, strict=True)
        ],
        "bounds": [-0.5, 1.0],
    }


def grid(count: int) -> list[tuple[float, ...]]:
    return list(itertools.product(LEVELS, repeat=count))


def drawn(data: Landscape) -> Figure:
    figure = Figure((6, 6), layout="constrained")
    draw_landscape(figure, data)
    figure.draw_without_rendering()
    return figure


def test_a_pair_shows_the_best_over_the_other_weights() -> None:
    data = landscape(search(grid(3)))
    panel = data.panels[2, 0]
    for x, y, value in zip(panel.x, panel.y, panel.values, strict=True):
        assert value == min(bowl((x, other, y)) for other in LEVELS)
    assert len(panel.values) == len(LEVELS) ** 2


def test_a_profile_shows_the_best_over_all_other_weights() -> None:
    data = landscape(search(grid(3)))
    assert data.profiles[1].weights == LEVELS
    for weight, value in zip(data.profiles[1].weights, data.profiles[1].values, strict=True):
        assert value == min(bowl((a, weight, b)) for a in LEVELS for b in LEVELS)


def test_between_points_the_nearest_measured_value_stands() -> None:
    data = landscape(search(grid(2)), resolution=30)
    panel = data.panels[1, 0]
    low, high = data.extents[0]
    centres = low + (np.arange(30) + 0.5) * (high - low) / 30
    assert set(panel.raster.ravel()) <= set(panel.values)
    for row, column in [(0, 0), (7, 21), (29, 3)]:
        distances = [
            (centres[column] - x) ** 2 + (centres[row] - y) ** 2
            for x, y in zip(panel.x, panel.y, strict=True)
        ]
        assert panel.raster[row, column] == panel.values[int(np.argmin(distances))]


def test_the_optimum_and_the_best_value_are_the_searchs_own() -> None:
    record = search(grid(3))
    data = landscape(record)
    assert list(data.optimum) == record["weights"]
    assert data.best == record["value"]
    assert data.uniform == pytest.approx((1 / 3,) * 3)
    assert data.zero == (0.0,) * 3


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_it_is_drawn_for_any_number_of_experts(count: int) -> None:
    data = landscape(search(grid(count)), resolution=8)
    assert len(data.panels) == count * (count - 1) // 2
    figure = drawn(data)
    key = 0 if count == 1 else 1
    assert len(figure.axes) == count + len(data.panels) + key


def test_too_many_experts_leave_out_those_of_least_effect() -> None:
    draws = np.random.default_rng(0)
    points = [tuple(row) for row in draws.choice(LEVELS, (200, 10))]
    scale = np.array([5, 0, 5, 5, 5, 5, 0, 5, 5, 5])
    values = [float((scale * np.square(point)).sum()) for point in points]
    data = landscape(search(points, values), limit=8, resolution=6)
    assert data.left_out == ("e1", "e6")
    assert data.names == ("e0", "e2", "e3", "e4", "e5", "e7", "e8", "e9")
    assert set(data.panels) == {(i, j) for i in range(8) for j in range(i)}
    drawn(data)


def test_scattered_candidates_are_gathered_and_the_best_of_all_stays() -> None:
    draws = np.random.default_rng(0)
    points = [tuple(row) for row in draws.uniform(-0.5, 1, (300, 3))]
    data = landscape(search(points))
    for panel in data.panels.values():
        assert len(panel.values) < 100
        assert min(panel.values) == data.best
    assert all(min(profile.values) == data.best for profile in data.profiles)
    assert all(list(p.weights) == sorted(p.weights) for p in data.profiles)


def test_grid_steps_that_differ_in_the_last_bit_are_one() -> None:
    record = search([(0.1 + 0.2, 0.0), (0.3, 0.5), (0.0, 0.0)])
    assert len(landscape(record).profiles[0].weights) == 2


def test_evaluations_without_a_finite_value_are_counted_and_left_out() -> None:
    points = grid(2)
    values = [bowl(point) for point in points]
    values[3] = float("inf")
    data = landscape(search(points, values))
    assert data.not_finite == 1
    assert np.isfinite(data.panels[1, 0].raster).all()


def test_a_search_with_nothing_finite_is_refused() -> None:
    record = search(grid(1))
    for item in record["evaluations"]:
        item["value"] = float("nan")
    with pytest.raises(DataError, match="finite"):
        landscape(record)


def test_weights_that_do_not_fit_the_experts_are_refused() -> None:
    record = search(grid(2))
    record["experts"] = ["e0"]
    record["axes"] = [{"name": "e0", "low": 0, "high": 1}]
    with pytest.raises(DataError, match="1 weights"):
        landscape(record)


def test_one_evaluation_alone_can_be_drawn() -> None:
    drawn(landscape(search([(0.5, 0.5)]), resolution=4))


def test_evaluations_on_fewer_images_are_not_shown() -> None:
    record = search(grid(2))
    record["evaluations"].append({"weights": [0.1, 0.1], "value": 0.0, "images": 10})
    for item in record["evaluations"][:-1]:
        item["images"] = 20
    assert landscape(record).best == record["value"]


def test_axes_have_bounds_of_their_own_and_marks_only_where_they_are_weights() -> None:
    record = search(grid(2))
    record["axes"] = [
        {"name": "e0", "low": -0.5, "high": 1.0},
        {"name": "sampler steps", "low": -10.0, "high": 10.0},
    ]
    data = landscape(record)
    assert data.extents[0] == pytest.approx((-0.59, 1.09))
    assert data.extents[1] == pytest.approx((-11.2, 11.2))
    assert (data.zero, data.uniform) == ((0.0, None), (0.5, None))
    drawn(data)
