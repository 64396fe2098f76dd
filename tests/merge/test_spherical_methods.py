"""Slerp, nuslerp, multislerp and the Karcher mean, and the inner products that they share."""

import math

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError
from deme.merge.methods import span
from deme.merge.methods.karcher import karcher
from deme.merge.methods.multislerp import multislerp
from deme.merge.methods.nuslerp import nuslerp
from deme.merge.methods.slerp import slerp
from deme.merge.methods.span import combine, cosines, gram

X, Y, Z = torch.eye(3)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def at_angle(degrees: float, length: float = 1.0) -> Tensor:
    angle = math.radians(degrees)
    return torch.tensor([length * math.cos(angle), length * math.sin(angle)])


def test_slerp_goes_along_the_circle() -> None:
    for t, degrees in ((1 / 3, 30), (0.5, 45), (1.0, 90), (-1 / 3, -30), (2.0, 180)):
        merged = slerp(at_angle(0), [at_angle(90) - at_angle(0)], [t])
        torch.testing.assert_close(merged, at_angle(degrees), rtol=0, atol=1e-6)


@pytest.mark.parametrize("expert", [X * 3, X * -2, X + 0.01 * Y, X * 0])
def test_slerp_is_linear_along_a_line(expert: Tensor) -> None:
    torch.testing.assert_close(slerp(X, [expert - X], [0.25]), 0.75 * X + 0.25 * expert)


def test_slerp_of_a_matrix_is_that_of_one_vector() -> None:
    base, delta = normal(4, 6), normal(4, 6, seed=1)
    flat = slerp(base.flatten(), [delta.flatten()], [0.3])
    assert torch.equal(slerp(base, [delta], [0.3]).flatten(), flat)


@pytest.mark.parametrize("count", [0, 2])
def test_slerp_wants_one_expert(count: int) -> None:
    with pytest.raises(ConfigError, match=f"one expert, and got {count}. Fix: merge two .* nusl"):
        slerp(X, [Y] * count, [0.5] * count)


def test_nuslerp_goes_along_the_circle_around_the_base() -> None:
    base = torch.tensor([5.0, -7.0])
    merged = nuslerp(base, [at_angle(20, 2.0), at_angle(80, 2.0)], [3.0, 1.0])
    torch.testing.assert_close(merged, base + at_angle(35, 2.0), rtol=0, atol=2e-6)


def test_nuslerp_by_output_and_by_input() -> None:
    """The rows turn in the plane of their own; ``nuslerp_row_wise`` turns the columns."""
    base = torch.zeros(2, 2)
    first = torch.stack([at_angle(0), at_angle(0, 5.0)])
    second = torch.stack([at_angle(90), at_angle(180, 5.0)])
    by_output = nuslerp(base, [first, second], [1.0, 1.0], nuslerp_flatten=False)
    expected = torch.stack([at_angle(45), torch.zeros(2)])
    torch.testing.assert_close(by_output, expected, rtol=0, atol=1e-6)
    by_input = nuslerp(
        base, [first.T, second.T], [1.0, 1.0], nuslerp_flatten=False, nuslerp_row_wise=True
    )
    torch.testing.assert_close(by_input, expected.T, rtol=0, atol=1e-6)


def test_nuslerp_between_nearly_opposite_experts_stays_finite() -> None:
    """In float32 the angle's sine is lost here; mergekit divides by what is left of it."""
    first = normal(1000)
    second = -2 * first + 1e-5 * normal(1000, seed=1)
    merged = nuslerp(torch.zeros(1000), [first, second], [1.0, 1.0])
    torch.testing.assert_close(merged, (first + second) / 2)


@pytest.mark.parametrize("count", [1, 3])
def test_nuslerp_wants_two_experts(count: int) -> None:
    with pytest.raises(ConfigError, match=f"got {count}. Fix: merge one expert with slerp"):
        nuslerp(X, [Y] * count, [0.5] * count)


def test_multislerp_has_the_mean_direction_and_length() -> None:
    merged = multislerp(X, [X, 2 * Y, 3 * Z], [1.0, 1.0, 1.0])
    torch.testing.assert_close(merged, X + 2 * torch.ones(3) / math.sqrt(3))


def test_multislerp_is_the_step_in_the_tangent_space() -> None:
    """mergekit's own way: project on the tangent space at the mean, sum, project back."""
    deltas, weights = [normal(30, seed=seed).double() for seed in range(4)], [0.5, 0.1, 0.7, -0.3]
    units = [delta / delta.norm() for delta in deltas]
    mean = sum((w * unit for w, unit in zip(weights, units, strict=True)), torch.zeros(30))
    mean = mean / mean.norm()
    tangent = torch.zeros(30, dtype=torch.float64)
    for weight, unit in zip(weights, units, strict=True):
        tangent += weight * (unit - (unit @ mean) * mean)
    length = tangent.norm() + 1e-8
    direction = mean * length.cos() + tangent * (length.sin() / length)
    norm = sum(w * delta.norm() for w, delta in zip(weights, deltas, strict=True))
    expected = (direction * norm).float()
    merged = multislerp(torch.zeros(30), [delta.float() for delta in deltas], weights)
    torch.testing.assert_close(merged, expected)


@pytest.mark.parametrize("count", [2, 4])
def test_multislerp_of_directions_that_cancel_is_linear(count: int) -> None:
    deltas = [Y * 3, -Y] * (count // 2)
    merged = multislerp(X, deltas, [1.0] * count)
    torch.testing.assert_close(merged, X + Y)


def test_multislerp_without_normalizing_scales_with_the_weights() -> None:
    for weight in (2.0, 0.5, -1.0):
        merged = multislerp(X, [Y, Z], [weight, weight], normalize_weights=False)
        torch.testing.assert_close(merged - X, weight * 2 * (Y + Z) / math.sqrt(2))


def test_the_karcher_mean_on_a_circle_is_the_mean_angle() -> None:
    experts, weights = [at_angle(10, 2.0), at_angle(40, 4.0), at_angle(100, 6.0)], [3.0, 2.0, 1.0]
    base = torch.tensor([0.3, -0.8])
    merged = karcher(base, [expert - base for expert in experts], weights)
    degrees, length = (3 * 10 + 2 * 40 + 100) / 6, (3 * 2 + 2 * 4 + 6) / 6
    torch.testing.assert_close(merged, at_angle(degrees, length), rtol=0, atol=1e-5)


def test_at_the_karcher_mean_the_experts_pulls_cancel() -> None:
    base = normal(5)
    deltas, weights = [normal(5, seed=seed) for seed in (1, 2, 3, 4)], [0.1, 0.4, 0.2, 0.3]
    merged = karcher(base, deltas, weights, max_iter=200, tol=1e-12).double()
    mean = merged / merged.norm()
    pull = torch.zeros(5, dtype=torch.float64)
    for delta, weight in zip(deltas, weights, strict=True):
        unit = torch.nn.functional.normalize((base + delta).double(), dim=0)
        across = unit - (unit @ mean) * mean
        pull += weight * torch.acos(unit @ mean) * across / across.norm()
    assert float(pull.norm()) < 1e-6


def test_the_karcher_mean_of_one_direction_is_the_mean_length() -> None:
    merged = karcher(torch.zeros(3), [Y, 3 * Y], [1.0, 1.0])
    torch.testing.assert_close(merged, 2 * Y)


def test_the_karcher_mean_of_finetuned_experts_is_their_mean_to_first_order() -> None:
    """In float32 their angles of 1e-4 would be lost."""
    base = normal(4000)
    deltas = [1e-4 * normal(4000, seed=seed) for seed in (1, 2, 3)]
    merged = karcher(base, deltas, [1.0, 1.0, 1.0])
    torch.testing.assert_close(merged - base, sum(deltas) / 3, rtol=0, atol=1e-6)


def test_opposite_experts_have_a_finite_karcher_mean() -> None:
    merged = karcher(torch.zeros(3), [X, -X], [1.0, 1.0])
    assert bool(torch.isfinite(merged).all()) and float(merged.norm()) <= 1.0001


def test_experts_of_zero_have_the_karcher_mean_zero() -> None:
    assert torch.equal(karcher(X, [-X, -X], [1.0, 1.0]), torch.zeros(3))
    merged = karcher(X, [-X, Y - X], [1.0, 1.0])
    torch.testing.assert_close(merged, Y / 2)


def test_an_expert_of_zero_has_a_length_and_no_direction() -> None:
    """Even a single step goes as far without it; and where the others' weights cancel."""
    deltas = [at_angle(20), at_angle(80, 3.0)]
    base, zero = torch.zeros(2), torch.zeros(2)
    without = karcher(base, deltas, [1.0, 3.0], max_iter=1)
    merged = karcher(base, [*deltas, zero], [1.0, 3.0, 4.0], max_iter=1)
    torch.testing.assert_close(merged, without / 2)
    linear = karcher(base, [*deltas, zero], [1.0, -1.0, 1.0])
    torch.testing.assert_close(linear, deltas[0] - deltas[1])


@pytest.mark.parametrize(("max_iter", "tol"), [(0, 1e-5), (10, 0.0), (10, math.nan)])
def test_karcher_refuses_steps_without_end(max_iter: int, tol: float) -> None:
    with pytest.raises(ConfigError, match=rf"max_iter {max_iter} and tol {tol}. Fix: give max"):
        karcher(X, [Y], [1.0], max_iter=max_iter, tol=tol)


@pytest.mark.parametrize("block", [5, 1 << 16])
def test_inner_products_and_sums_equal_the_dense_ones(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span, "BLOCK", block)
    base, deltas = normal(7, 12), [normal(7, 12, seed=seed) for seed in (1, 2)]
    stacked = torch.stack(deltas).double()
    weights = torch.cat([base.double().unsqueeze(0), stacked + base.double()])
    torch.testing.assert_close(gram(deltas, base), torch.einsum("irc,jrc->rij", weights, weights))
    torch.testing.assert_close(gram(deltas), torch.einsum("irc,jrc->rij", stacked, stacked))
    coefficients = normal(7, 3, seed=4).double()
    everything = torch.stack([base, *deltas]).double()
    expected = torch.einsum("ri,irc->rc", coefficients, everything)
    torch.testing.assert_close(combine(base, deltas, coefficients), expected.float())


def test_cosines_with_a_zero_vector_are_zero() -> None:
    vectors = torch.stack([3 * X, X + Y, 0 * X]).double()
    half = math.sqrt(0.5)
    expected = torch.tensor([[1, half, 0], [half, 1, 0], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(cosines(vectors @ vectors.T), expected)
