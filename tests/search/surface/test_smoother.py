import math

import pytest
import torch
from torch import Tensor

from deme.search.surface import Smoother
from deme.search.surface.smoother import Scales

FLAT = Scales((200.0, 200.0), 1e-15)
"""Lengths so large that the kernel interpolates as polynomials do."""


def points_of(count: int, axes: int = 2, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return 2 * torch.rand(count, axes, generator=draws, dtype=torch.float64) - 1


def curved(points: Tensor) -> Tensor:
    """Smooth moments ``(J, 3)`` of points ``(J, 2)``."""
    x, y = points[:, 0], points[:, 1]
    return torch.stack([(x / 3).sin() + y / 2, (0.3 * x * y).exp(), (0.2 * x - 0.5 * y).cos()], 1)


def test_coefficients_sum_to_one_everywhere() -> None:
    smoother = Smoother(points_of(7), curved(points_of(7)))
    sums = smoother.coefficients(5 * points_of(40, seed=1)).sum(dim=-1)
    torch.testing.assert_close(sums, torch.ones(40, dtype=torch.float64))


def test_at_its_points_it_gives_back_what_it_was_told() -> None:
    points = points_of(8)
    smoother = Smoother(points, curved(points), Scales((3.0, 3.0), 1e-10))
    found = smoother.coefficients(points) @ curved(points)
    torch.testing.assert_close(found, curved(points), rtol=0, atol=1e-6)
    assert float(smoother.variance(points).max()) < 1e-6


def test_with_a_wide_kernel_three_points_make_a_plane() -> None:
    """N + 1 points determine a linear model, and the flat limit is that model."""
    points = points_of(3)
    plane = points @ torch.tensor([[2.0], [-3.0]], dtype=torch.float64) + 0.5
    smoother = Smoother(points, plane, FLAT)
    elsewhere = points_of(20, seed=3)
    expected = elsewhere @ torch.tensor([[2.0], [-3.0]], dtype=torch.float64) + 0.5
    torch.testing.assert_close(
        smoother.coefficients(elsewhere) @ plane, expected, rtol=0, atol=2e-3
    )


def test_with_a_wide_kernel_six_points_make_a_quadratic() -> None:
    points = points_of(6)

    def quadratic(at: Tensor) -> Tensor:
        x, y = at[:, 0], at[:, 1]
        return (1 + x - 2 * y + 3 * x * x - x * y + 0.5 * y * y)[:, None]

    smoother = Smoother(points, quadratic(points), Scales((30.0, 30.0), 1e-15))
    elsewhere = points_of(20, seed=4)
    found = smoother.coefficients(elsewhere) @ quadratic(points)
    torch.testing.assert_close(found, quadratic(elsewhere), rtol=0, atol=0.05)


def test_left_out_coefficients_are_those_of_a_fit_without_the_point() -> None:
    points = points_of(9)
    scales = Scales((2.0, 5.0), 1e-4)
    smoother = Smoother(points, curved(points), scales)
    coefficients, variance = smoother.left_out()
    for left in range(9):
        others = [index for index in range(9) if index != left]
        without = Smoother(points[others], curved(points[others]), scales)
        expected = without.coefficients(points[left])
        torch.testing.assert_close(coefficients[left, others], expected, rtol=1e-6, atol=1e-8)
        assert coefficients[left, left] == 0
        known = float(without.variance(points[left])) + scales.nugget
        assert float(variance[left]) == pytest.approx(known, rel=1e-5)


def test_a_point_that_is_being_sampled_leaves_no_doubt_there() -> None:
    points = points_of(4)
    smoother = Smoother(points, curved(points), Scales((1.0, 1.0), 1e-6))
    new = torch.tensor([[0.9, -0.9]], dtype=torch.float64)
    after = smoother.knowing(new)
    assert float(after.variance(new)) < 1e-3 < float(smoother.variance(new))
    elsewhere = points_of(50, seed=8)
    assert bool((after.variance(elsewhere) <= smoother.variance(elsewhere) + 1e-9).all())


def test_the_likeliest_length_is_shorter_where_the_moments_bend_more() -> None:
    points = points_of(30)
    slow = Smoother(points, torch.stack([(points[:, 0]).sin(), points[:, 1].cos()], 1))
    quick = Smoother(points, torch.stack([(5 * points[:, 0]).sin(), (5 * points[:, 1]).cos()], 1))
    assert max(quick.scales.lengths) < min(slow.scales.lengths)


def test_an_axis_without_effect_gets_the_longest_length() -> None:
    points = points_of(30, axes=3)
    moments = torch.stack([(3 * points[:, 0]).sin(), (3 * points[:, 2]).cos()], 1)
    lengths = Smoother(points, moments).scales.lengths
    assert lengths[1] > 2 * max(lengths[0], lengths[2])


def test_noise_is_told_from_shape() -> None:
    points = points_of(60)
    draws = torch.Generator().manual_seed(2)
    noise = 0.05 * torch.randn(60, 40, generator=draws, dtype=torch.float64)
    clean = curved(points).repeat(1, 14)[:, :40]
    assert Smoother(points, clean + noise).scales.nugget > 5 * Smoother(points, clean).scales.nugget


def test_many_axes_share_one_length() -> None:
    points = points_of(16, axes=15)
    lengths = Smoother(points, points.sin()).scales.lengths
    assert len(lengths) == 15 and len({*lengths}) == 1


def test_it_is_differentiable() -> None:
    points = points_of(6)
    smoother = Smoother(points, curved(points), Scales((1.0, 2.0), 1e-4))
    at = points_of(3, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(smoother.coefficients, (at,))
    assert torch.autograd.gradcheck(smoother.variance, (at,))


def test_it_is_deterministic_and_finite_with_two_points_and_no_change() -> None:
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    same = torch.zeros(2, 5, dtype=torch.float64)
    first, second = Smoother(points, same), Smoother(points, same)
    assert first.scales == second.scales
    assert all(math.isfinite(length) for length in first.scales.lengths)
