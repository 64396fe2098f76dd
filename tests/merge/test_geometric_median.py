"""The geometric median against scipy's minimiser, and its known cases."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from deme.errors import ConfigError
from deme.merge.methods.geometric_median import geometric_median


def experts(count: int, *shape: int, seed: int = 0) -> tuple[Tensor, list[Tensor]]:
    draws = torch.Generator().manual_seed(seed)
    base, *points = torch.randn((count + 1, *shape), generator=draws)
    return base, [0.01 * point for point in points]


def distances(point: np.ndarray, points: Sequence[Tensor], weights: Sequence[float]) -> float:
    return sum(
        w * float(np.linalg.norm(point - p.double().numpy().ravel()))
        for w, p in zip(weights, points, strict=True)
    )


@pytest.mark.parametrize("count", [3, 4, 7])
@pytest.mark.parametrize("seed", [1, 2])
def test_it_is_the_minimum_that_scipy_finds(count: int, seed: int) -> None:
    points = [100 * delta for delta in experts(count, 3, 4, seed=seed)[1]]
    weights = torch.linspace(0.5, 1.5, count).tolist()
    start = sum(p.double().numpy().ravel() for p in points) / count
    other = minimize(distances, start, (points, weights), method="BFGS", tol=1e-9)
    ours = geometric_median(torch.zeros(3, 4), points, weights)
    np.testing.assert_allclose(ours.numpy().ravel(), other.x, atol=1e-4)
    assert distances(ours.double().numpy().ravel(), points, weights) <= other.fun * (1 + 1e-6)


def test_the_corners_of_a_square_have_their_centre() -> None:
    base = torch.tensor([10.0, 20.0])
    corners = [torch.tensor(p) for p in ([0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0])]
    found = geometric_median(base, corners, [0.25] * 4)
    torch.testing.assert_close(found, torch.tensor([11.0, 21.0]))


def test_a_triangle_has_its_fermat_point() -> None:
    corners = [torch.tensor(p) for p in ([0.0, 0.0], [4.0, 0.0], [0.0, 3.0])]
    found = geometric_median(torch.zeros(2), corners, [1.0] * 3)
    angles = [math.atan2(*(corner - found).flip(0).tolist()) for corner in corners]
    turns = sorted((a - angles[0]) % (2 * math.pi) for a in angles)
    assert turns == pytest.approx([0, 2 * math.pi / 3, 4 * math.pi / 3], abs=1e-5)


def test_an_outlier_moves_the_mean_and_not_the_median() -> None:
    near = [torch.tensor([x, 0.0]) for x in (-0.1, 0.0, 0.1)]
    far = torch.tensor([1000.0, 0.0])
    found = geometric_median(torch.zeros(2), [*near, far], [1.0] * 4)
    assert float(found.norm()) <= 0.1 + 1e-5
    wide = [torch.tensor(p) for p in ([0.0, 1.0], [0.9, -0.5], [-0.9, -0.5])]
    first = geometric_median(torch.zeros(2), [*wide, torch.tensor([10.0, 3.0])], [1.0] * 4)
    second = geometric_median(torch.zeros(2), [*wide, torch.tensor([1e6, 3e5])], [1.0] * 4)
    torch.testing.assert_close(first, second, atol=0.05, rtol=0)


def test_more_than_half_of_the_weight_is_the_median() -> None:
    base, deltas = experts(3, 5)
    found = geometric_median(base, deltas, [0.2, 0.51, 0.29])
    assert torch.equal(found, base + deltas[1])


def test_an_expert_that_holds_the_others_is_the_median_exactly() -> None:
    wide = [torch.tensor(p) for p in ([0.0, 1.0], [0.9, -0.5], [-0.9, -0.5], [0.1, 0.05])]
    assert torch.equal(geometric_median(torch.zeros(2), wide, [1.0] * 4), wide[3])


def test_a_start_on_an_expert_that_is_not_the_median_is_left() -> None:
    # the weighted mean is the last point, and the others pull it away with a force above its weight
    points = [torch.tensor(p) for p in ([3.0, 0.0], [-1.0, 1.0], [-1.0, -1.0], [0.0, 0.0])]
    weights = [0.3, 0.45, 0.45, 0.001]
    found = geometric_median(torch.zeros(2), points, weights)
    other = minimize(distances, [0.5, 0.1], (points, weights), method="Nelder-Mead", tol=1e-10)
    np.testing.assert_allclose(found.numpy(), other.x, atol=1e-5)
    assert float(found.norm()) > 0.1


def test_two_experts_of_equal_weight_meet_at_their_mean_in_either_order() -> None:
    base, deltas = experts(2, 6)
    expected = base + (deltas[0] + deltas[1]) / 2
    torch.testing.assert_close(geometric_median(base, deltas, [1.0, 1.0]), expected)
    torch.testing.assert_close(geometric_median(base, deltas[::-1], [1.0, 1.0]), expected)


def test_equal_experts_give_that_expert() -> None:
    base, (delta,) = experts(1, 4, 3)
    found = geometric_median(base, [delta] * 4, [0.1, 0.2, 0.3, 0.4])
    torch.testing.assert_close(found, base + delta)
    base, (delta, other, third) = experts(3, 4, 3)
    found = geometric_median(base, [delta, other, delta, third], [1.0] * 4)
    assert torch.equal(found, base + delta)  # two of four at one place


def test_no_change_and_no_weight_give_the_base() -> None:
    base, deltas = experts(3, 4, 3)
    assert torch.equal(geometric_median(base, [torch.zeros(4, 3)] * 3, [0.3] * 3), base)
    assert torch.equal(geometric_median(base, deltas, [0.0] * 3), base)
    assert torch.equal(geometric_median(base, deltas, [0.0, 0.7, 0.0]), base + deltas[1])


def test_only_the_ratios_of_the_weights_count() -> None:
    base, deltas = experts(3, 4)
    torch.testing.assert_close(
        geometric_median(base, deltas, [1.0, 0.8, 0.7]),
        geometric_median(base, deltas, [10.0, 8.0, 7.0]),
    )


def test_few_iterations_end_near_the_mean() -> None:
    base, deltas = experts(4, 5)
    mean = base + sum(deltas) / 4
    one = geometric_median(base, deltas, [1.0] * 4, max_iter=1)
    best = geometric_median(base, deltas, [1.0] * 4)
    assert float((one - mean).norm()) > 1e-5 and float((one - best).norm()) > 1e-5
    loose = geometric_median(base, deltas, [1.0] * 4, tol=10.0)
    torch.testing.assert_close(loose, one)


def test_values_that_are_not_finite_stay_so() -> None:
    base, deltas = experts(3, 4)
    deltas[1][2] = math.nan
    assert not bool(torch.isfinite(geometric_median(base, deltas, [1.0] * 3)).all())


def test_wrong_settings_are_named() -> None:
    base, deltas = experts(3, 4)
    with pytest.raises(ConfigError, match=r"no meaning for the weight -0\.1\. Fix: give weights"):
        geometric_median(base, deltas, [0.5, 0.5, -0.1])
    with pytest.raises(ConfigError, match="the weight nan"):
        geometric_median(base, deltas, [0.5, 0.5, math.nan])
    with pytest.raises(ConfigError, match=r"tol = 0\.0"):
        geometric_median(base, deltas, [0.5] * 3, tol=0.0)
    with pytest.raises(ConfigError, match="max_iter = 0"):
        geometric_median(base, deltas, [0.5] * 3, max_iter=0)
