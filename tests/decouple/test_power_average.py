"""Power-function averages: the recursion, their widths, and averages made of other averages."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from deme.decouple.power_average import (
    LARGEST_WIDTH,
    PowerAverages,
    PowerProfile,
    combine,
    decay,
    exponent_of,
    inner_products,
    width_of,
)
from deme.errors import ConfigError

STEPS = 400


def walk(steps: int = STEPS, size: int = 300) -> Tensor:
    """Weights after each step, float64 ``(steps, size)``: a large start, drift and noise."""
    draws = torch.Generator().manual_seed(0)
    start = torch.randn(size, generator=draws, dtype=torch.float64)
    drift = torch.randn(size, generator=draws, dtype=torch.float64) * 1e-4
    noise = torch.randn(steps, size, generator=draws, dtype=torch.float64) * 1e-3
    return start + (noise + drift).cumsum(0)


def average(weights: Tensor, profile: PowerProfile) -> Tensor:
    """By the definition: the profile's mass in each step's interval times that step's weights."""
    power = exponent_of(profile.sigma_rel) + 1
    t = int(profile.step)
    edges = (torch.arange(t + 1, dtype=torch.float64) / t) ** power
    return edges.diff() @ weights[:t]


@pytest.mark.parametrize("sigma", [0.03, 0.05, 0.1, 0.25, LARGEST_WIDTH])
def test_the_recursion_equals_the_weighted_average(sigma: float) -> None:
    weights = walk(60)
    gamma = exponent_of(sigma)
    found = torch.full_like(weights[0], 1e3)  # the first step forgets where it started
    for step, current in enumerate(weights, start=1):
        beta = decay(step, gamma)
        found = beta * found + (1 - beta) * current
    expected = average(weights, PowerProfile(60, sigma))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_averages_in_float32_follow_the_recursion() -> None:
    weights = walk()
    averages = PowerAverages({"w": torch.zeros(300)}, (0.05, 0.1))
    for step, current in enumerate(weights, start=1):
        averages.update([current.float()], step)
    for sigma, tensors in averages.tensors.items():
        expected = average(weights, PowerProfile(STEPS, sigma))
        torch.testing.assert_close(tensors["w"].double(), expected, rtol=0, atol=2e-6)
    assert list(averages.state()) == ["0.05/w", "0.1/w"]
    averages.state()["0.1/w"].zero_()
    assert not averages.tensors[0.1]["w"].any()


def test_half_precision_parameters_are_averaged_in_float32() -> None:
    averages = PowerAverages({"w": torch.zeros(3, dtype=torch.bfloat16)}, (0.1,))
    for step in range(1, 40):
        averages.update([torch.full((3,), 1.0 if step % 2 else 1.0078125).bfloat16()], step)
    found = averages.tensors[0.1]["w"]
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([1.0039] * 3, abs=1e-3)
    assert not torch.equal(found, found.bfloat16().float())


@pytest.mark.parametrize("sigma", [1e-3, 0.01, 0.05, 0.1, 0.2, 0.28, LARGEST_WIDTH])
def test_exponents_and_widths_are_inverse(sigma: float) -> None:
    gamma = exponent_of(sigma)
    assert gamma >= 0
    assert width_of(gamma) == pytest.approx(sigma, rel=1e-10)


@pytest.mark.parametrize(("sigma", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_exponents_that_the_paper_names(sigma: float, gamma: float) -> None:
    assert exponent_of(sigma) == pytest.approx(gamma, abs=0.005)


def test_the_width_is_the_profile_s_deviation() -> None:
    gamma, bins = exponent_of(0.12), 100_000
    tau = (torch.arange(bins, dtype=torch.float64) + 0.5) / bins
    mass = (gamma + 1) * tau**gamma / bins
    mean = float(mass @ tau)
    assert float(mass.sum()) == pytest.approx(1, rel=1e-8)
    assert float(mass @ (tau - mean) ** 2) ** 0.5 == pytest.approx(0.12, rel=1e-8)


@pytest.mark.parametrize("sigma", [0.0, -0.1, 0.29, math.nan])
def test_a_width_out_of_range(sigma: float) -> None:
    with pytest.raises(ConfigError, match=r"cannot have the relative width .* at most 0\.2887"):
        exponent_of(sigma)
    with pytest.raises(ConfigError):
        PowerAverages({}, (sigma,))


def test_inner_products_equal_quadrature() -> None:
    profiles = [PowerProfile(t, s) for t in (0.7, 1.0, 3.0) for s in (0.05, 0.1, LARGEST_WIDTH)]
    s = (torch.arange(300_000, dtype=torch.float64) + 0.5) * 1e-5
    rows = torch.stack(
        [
            (1 - (s / item.step) ** (exponent_of(item.sigma_rel) + 1)).where(s < item.step, 0)
            for item in profiles
        ]
    )
    expected = rows @ rows.T * 1e-5
    torch.testing.assert_close(inner_products(profiles, profiles), expected, rtol=1e-8, atol=1e-9)
    part = inner_products(profiles[:2], profiles[3:])
    torch.testing.assert_close(part, expected[:2, 3:], rtol=1e-8, atol=1e-9)


def kept(count: int, sigmas: tuple[float, ...] = (0.05, 0.1)) -> list[PowerProfile]:
    steps = [STEPS * i // count for i in range(1, count + 1)]
    return [PowerProfile(step, sigma) for step in steps for sigma in sigmas]


def test_a_stored_average_is_taken_as_it_is() -> None:
    stored = kept(4)
    for index, profile in enumerate(stored):
        made = combine(stored, profile)
        assert made.residual == 0
        assert made.coefficients == tuple(float(i == index) for i in range(len(stored)))


def test_near_a_stored_average_the_solution_is_near_it() -> None:
    stored = kept(4)
    made = combine(stored, PowerProfile(STEPS, 0.1 + 1e-9))
    expected = [0.0] * (len(stored) - 1) + [1.0]
    assert made.coefficients == pytest.approx(expected, abs=1e-6)
    assert made.residual < 1e-6


def test_the_coefficients_are_the_best_that_sum_to_one() -> None:
    stored, wanted = kept(3), PowerProfile(STEPS - 30, 0.07)
    made = combine(stored, wanted)
    assert sum(made.coefficients) == pytest.approx(1, abs=1e-12)
    everything = [*stored, wanted]
    products = inner_products(everything, everything)
    norm = float(products[-1, -1])

    def squared(coefficients: Tensor) -> float:
        error = torch.cat([coefficients, -torch.ones(1, dtype=torch.float64)])
        return float(error @ products @ error) / norm

    found = torch.tensor(made.coefficients, dtype=torch.float64)
    assert squared(found) ** 0.5 == pytest.approx(made.residual, rel=1e-6)
    draws = torch.Generator().manual_seed(0)
    for _ in range(20):
        change = torch.randn(len(stored), generator=draws, dtype=torch.float64)
        assert squared(found + 1e-2 * (change - change.mean())) > made.residual**2


@pytest.mark.parametrize(
    ("count", "wanted", "bound"),
    [
        (8, PowerProfile(STEPS, 0.075), 0.002),
        (8, PowerProfile(STEPS, 0.15), 0.004),
        (8, PowerProfile(STEPS // 2, 0.07), 0.006),
        (16, PowerProfile(STEPS, 0.075), 0.0005),
        (8, PowerProfile(STEPS * 15 // 16, 0.075), 0.03),  # between two snapshots
    ],
)
def test_a_third_average_is_made_of_two(count: int, wanted: PowerProfile, bound: float) -> None:
    """The error against the average itself, as a share of its distance from the start."""
    weights = walk()
    made = combine(stored := kept(count), wanted)
    parts = torch.stack([average(weights, profile) for profile in stored])
    expected = average(weights, wanted)
    error = torch.tensor(made.coefficients, dtype=torch.float64) @ parts - expected
    start = walk(1)[0]
    assert float(error.norm() / (expected - start).norm()) < bound
    assert made.residual < bound


def test_the_residual_is_the_error_on_independent_updates() -> None:
    draws = torch.Generator().manual_seed(0)
    weights = torch.randn(STEPS, 20_000, generator=draws, dtype=torch.float64).cumsum(0)
    stored, wanted = kept(4), PowerProfile(STEPS * 5 // 8, 0.05)
    made = combine(stored, wanted)
    parts = torch.stack([average(weights, profile) for profile in stored])
    expected = average(weights, wanted)
    error = torch.tensor(made.coefficients, dtype=torch.float64) @ parts - expected
    assert float(error.norm() / expected.norm()) == pytest.approx(made.residual, rel=0.05)


def test_many_nearly_dependent_averages_stay_usable() -> None:
    stored = kept(40, (0.05, 0.07, 0.1, 0.15, 0.2))
    made = combine(stored, PowerProfile(STEPS * 0.66, 0.12))
    assert made.residual < 0.01
    assert sum(made.coefficients) == pytest.approx(1, abs=1e-9)
    assert max(map(abs, made.coefficients)) < 100
