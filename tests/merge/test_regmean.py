"""RegMean of one tensor against the least-squares problem itself."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from deme.errors import ConfigError, MismatchError
from deme.merge.methods.regmean import regmean


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def inputs(count: int, rows: int, features: int) -> list[Tensor]:
    """Correlated inputs of each expert, float64 ``(rows, features)``."""
    mix = [torch.eye(features) + 0.5 * draw(50 + i, features, features) for i in range(count)]
    return [(draw(i, rows, features) @ mix[i]).double() for i in range(count)]


def grams(seen: list[Tensor]) -> list[Tensor | None]:
    return [(x.mT @ x / len(x)).float() for x in seen]


def least_squares(seen: list[Tensor], layers: list[Tensor], weights: list[float]) -> np.ndarray:
    """``argmin_W Σ w_i mean‖W x − W_i x‖²``, stacked into one problem."""
    factors = [math.sqrt(w / len(x)) for w, x in zip(weights, seen, strict=True)]
    rows = torch.cat([f * x for f, x in zip(factors, seen, strict=True)])
    wanted = torch.cat(
        [f * x @ w.double().flatten(1).mT for f, x, w in zip(factors, seen, layers, strict=True)]
    )
    return np.linalg.lstsq(rows.numpy(), wanted.numpy(), rcond=None)[0].T


@pytest.mark.parametrize("shape", [(5, 6), (7, 2, 2, 2), (3, 1, 3, 3)])
def test_with_alpha_one_it_solves_the_least_squares_problem(shape: tuple[int, ...]) -> None:
    base, deltas = draw(90, *shape), [0.1 * draw(i, *shape) for i in (91, 92, 93)]
    seen = inputs(3, 40, base[0].numel())
    weights = [0.5, 0.2, 1.1]
    found = regmean(base, deltas, weights, statistics=grams(seen), alpha=1.0)
    expected = least_squares(seen, [base + delta for delta in deltas], weights)
    np.testing.assert_allclose(found.flatten(1).numpy(), expected, atol=2e-5)
    mean = base + sum(w / 1.8 * d for w, d in zip(weights, deltas, strict=True))
    assert float((found - mean).abs().max()) > 1e-2  # another thing than the mean


def test_alpha_scales_what_is_off_the_diagonal() -> None:
    base, deltas = draw(90, 4, 6), [0.1 * draw(i, 4, 6) for i in (91, 92)]
    collected = [gram for gram in grams(inputs(2, 40, 6)) if gram is not None]
    weights, alpha = [0.7, 0.4], 0.3
    shrunk = [
        alpha * g.double() + (1 - alpha) * torch.diag(g.diagonal()).double() for g in collected
    ]
    total = sum(w * g for w, g in zip(weights, shrunk, strict=True))
    pulled = sum(
        w * (base + d).double() @ g for w, d, g in zip(weights, deltas, shrunk, strict=True)
    )
    expected = pulled @ torch.linalg.inv(torch.as_tensor(total))
    found = regmean(base, deltas, weights, statistics=collected, alpha=alpha)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-6)


def test_with_alpha_zero_it_is_a_mean_by_the_size_of_each_input() -> None:
    base = torch.zeros(1, 2)
    deltas = [torch.tensor([[1.0, 1.0]]), torch.tensor([[4.0, 4.0]])]
    collected = [torch.tensor([[3.0, 1.0], [1.0, 0.0]]), torch.tensor([[1.0, 0.5], [0.5, 2.0]])]
    found = regmean(base, deltas, [1.0, 3.0], statistics=collected, alpha=0.0)
    torch.testing.assert_close(found, torch.tensor([[2.5, 4.0]]))


def test_its_outputs_are_nearer_to_the_experts_than_those_of_the_mean() -> None:
    base, deltas = draw(90, 5, 6), [0.1 * draw(i, 5, 6) for i in (91, 92)]
    seen = inputs(2, 40, 6)

    def error(merged: Tensor) -> float:
        return sum(
            float(nn.functional.mse_loss(x @ merged.mT.double(), x @ (base + d).mT.double()))
            for x, d in zip(seen, deltas, strict=True)
        )

    errors = [
        error(regmean(base, deltas, [1.0, 1.0], statistics=grams(seen), alpha=alpha))
        for alpha in (1.0, 0.9, 0.5)
    ]
    assert errors == sorted(errors)
    assert errors[-1] < error(base + (deltas[0] + deltas[1]) / 2)


def test_fewer_samples_than_inputs_are_met_and_the_rest_is_as_with_alpha_zero() -> None:
    base, deltas = draw(90, 4, 12), [0.1 * draw(i, 4, 12) for i in (91, 92)]
    seen = inputs(2, 3, 12)
    found = regmean(base, deltas, [1.0, 1.0], statistics=grams(seen), alpha=1.0)
    for x, delta in zip(seen, deltas, strict=True):  # six conditions on twelve inputs: all met
        torch.testing.assert_close(
            found.double() @ x.mT, (base + delta).double() @ x.mT, atol=5e-3, rtol=0
        )
    start = regmean(base, deltas, [1.0, 1.0], statistics=grams(seen), alpha=0.0)
    free = torch.linalg.qr(torch.cat(seen).mT, mode="complete")[0][:, 6:]
    sizes = torch.cat(seen).square().mean(0)  # the nearest, each input in units of its own size
    change = (found - start).double() * sizes
    # float32 keeps that much of the Gram matrices' own zero directions
    assert float((change @ free).norm()) < 0.1 * float(change.norm())


def test_inputs_that_are_always_zero_leave_the_mean() -> None:
    base, deltas = draw(90, 4, 6), [0.1 * draw(i, 4, 6) for i in (91, 92)]
    seen = inputs(2, 40, 6)
    for x in seen:
        x[:, 2] = 0
    found = regmean(base, deltas, [1.0, 3.0], statistics=grams(seen), alpha=1.0)
    mean = base + 0.25 * deltas[0] + 0.75 * deltas[1]
    torch.testing.assert_close(found[:, 2], mean[:, 2])
    seen[0][:, 2] = 1e-2  # one expert uses the input, so its weights decide
    found = regmean(base, deltas, [1.0, 3.0], statistics=grams(seen), alpha=0.0)
    torch.testing.assert_close(found[:, 2], (base + deltas[0])[:, 2])


@pytest.mark.parametrize("alpha", [0.0, 0.9, 1.0])
def test_equal_experts_give_that_expert_and_one_hot_its_own(alpha: float) -> None:
    base, deltas = draw(90, 4, 6), [0.1 * draw(i, 4, 6) for i in (91, 92, 93)]
    collected = grams(inputs(3, 4, 6))
    same = [deltas[0]] * 3
    found = regmean(base, same, [0.1, 0.4, 0.9], statistics=collected, alpha=alpha)
    torch.testing.assert_close(found, base + deltas[0])
    found = regmean(
        base, deltas, [0.0, 0.3, 0.0], statistics=[None, collected[1], None], alpha=alpha
    )
    torch.testing.assert_close(found, base + deltas[1])


@pytest.mark.parametrize("shape", [(), (5,), (4, 6)])
def test_what_was_not_measured_is_the_weighted_mean(shape: tuple[int, ...]) -> None:
    base, deltas = draw(90, *shape), [0.1 * draw(i, *shape) for i in (91, 92)]
    found = regmean(base, deltas, [1.0, 3.0], statistics=[None, torch.eye(6)])
    torch.testing.assert_close(found, base + 0.25 * deltas[0] + 0.75 * deltas[1])


def test_no_change_and_no_weight_give_the_base() -> None:
    base, deltas = draw(90, 4, 6), [0.1 * draw(i, 4, 6) for i in (91, 92)]
    collected = grams(inputs(2, 40, 6))
    zeros = [torch.zeros(4, 6)] * 2
    assert torch.equal(regmean(base, zeros, [0.3] * 2, statistics=collected), base)
    assert torch.equal(regmean(base, deltas, [0.0] * 2, statistics=collected), base)


def test_inputs_are_not_changed() -> None:
    base, deltas = draw(90, 4, 6), [0.1 * draw(i, 4, 6) for i in (91, 92)]
    collected = [gram for gram in grams(inputs(2, 40, 6)) if gram is not None]
    given = (base, *deltas, *collected)
    kept = [tensor.clone() for tensor in given]
    regmean(base, deltas, [0.5, 0.5], statistics=collected)
    assert all(torch.equal(a, b) for a, b in zip(given, kept, strict=True))


def test_wrong_settings_are_named() -> None:
    base, deltas = draw(90, 4, 6), [0.1 * draw(i, 4, 6) for i in (91, 92)]
    collected = grams(inputs(2, 40, 6))
    with pytest.raises(ConfigError, match=r"regmean takes a mean, .* the weight -1\.0"):
        regmean(base, deltas, [2.0, -1.0], statistics=collected)
    for alpha in (-0.1, 1.1, math.nan):
        with pytest.raises(ConfigError, match=r"alpha = .* Fix: give alpha in \[0, 1\]"):
            regmean(base, deltas, [0.5, 0.5], statistics=collected, alpha=alpha)
    with pytest.raises(ConfigError, match="statistics of 3 experts for 2"):
        regmean(base, deltas, [0.5, 0.5], statistics=[*collected, None])
    with pytest.raises(MismatchError, match=r"of shape \(6, 6\), these have \(4, 4\)"):
        regmean(base, deltas, [0.5, 0.5], statistics=[torch.eye(4), torch.eye(4)])
    with pytest.raises(MismatchError, match="not positive semidefinite"):
        regmean(base, deltas, [0.5, 0.5], statistics=[torch.ones(6, 6) - 0.9 * torch.eye(6)] * 2)
