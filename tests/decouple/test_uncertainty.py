"""Learned weights over the noise levels: EDM2's, and one for each cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from deme.decouple.uncertainty import LogVariance, fourier_features
from deme.denoisers import NoiseSchedule, load_denoiser

T = 40


def schedule() -> NoiseSchedule:
    return NoiseSchedule.variance_preserving(torch.linspace(0.999, 0.001, T))


def log_variance(features: Tensor, rate: float, accelerator: Accelerator) -> LogVariance:
    return LogVariance(lambda: features, features.shape[1], rate, accelerator)


def test_the_gradient_is_that_of_the_loss(accelerator: Accelerator) -> None:
    """``mean(ℓ / exp(u) + u)`` over two micro-batches, by autograd."""
    features = fourier_features(schedule(), 0)
    learned = log_variance(features, 1e-3, accelerator)
    draws = torch.Generator().manual_seed(0)
    weight = torch.randn(128, generator=draws)
    with torch.no_grad():
        learned.weight.copy_(weight)
    t = torch.randint(0, T, (2, 6), generator=draws)
    losses = torch.rand((2, 6), generator=draws)
    expected = weight.clone().requires_grad_(True)
    u = features[t] @ expected
    (losses / u.exp() + u).mean().backward()
    for some_t, some in zip(t, losses, strict=True):
        learned.observe(some_t, some * torch.exp(-learned.at(some_t)), 0.5)
    mean = learned.step(1.0)
    u = u.detach()
    assert learned.weight.grad is not None and expected.grad is not None
    assert torch.allclose(learned.weight.grad, expected.grad, atol=1e-6)
    assert float(mean) == pytest.approx(float(u.mean()), rel=1e-5)


def fit(learned: LogVariance, losses: Tensor, steps: int) -> Tensor:
    everything = torch.arange(T)
    for _ in range(steps):
        learned.observe(everything, losses * torch.exp(-learned.at(everything)), 1.0)
        learned.step(1.0)
    return learned.at(everything)


def test_it_learns_the_logarithm_of_the_loss(accelerator: Accelerator) -> None:
    losses = torch.linspace(1, 4, T).exp() / 50
    learned = log_variance(fourier_features(schedule(), 0), 0.02, accelerator)
    assert torch.allclose(fit(learned, losses, 400), losses.log(), atol=0.1)


def test_clusters_learn_the_logarithm_of_their_mean_loss(accelerator: Accelerator) -> None:
    owner = torch.arange(T) // 10
    features = torch.nn.functional.one_hot(owner, 4).float()
    losses = torch.rand(T, generator=torch.Generator().manual_seed(1))
    learned = log_variance(features, 0.02, accelerator)
    means = torch.stack([losses[owner == k].mean() for k in range(4)])
    assert torch.allclose(fit(learned, losses, 400), means.log()[owner], atol=0.01)


def test_it_is_neutral_at_the_start_and_at_rate_zero(accelerator: Accelerator) -> None:
    learned = log_variance(fourier_features(schedule(), 0), 0.0, accelerator)
    assert not bool(fit(learned, torch.rand(T), 3).any())
    assert torch.equal(torch.exp(-learned.at(torch.arange(T))), torch.ones(T))


def test_features_are_of_the_ratio_of_noise_to_signal() -> None:
    """A flow and a variance-preserving schedule of the same σ/α have the same features."""
    sigma = torch.linspace(0.02, 0.98, T, dtype=torch.float64)
    flow = NoiseSchedule(1 - sigma, sigma)
    length = (flow.alpha.square() + flow.sigma.square()).sqrt()
    preserving = NoiseSchedule(flow.alpha / length, flow.sigma / length)
    ours = fourier_features(flow, 0)
    assert torch.allclose(ours, fourier_features(preserving, 0), atol=1e-6)
    assert not torch.allclose(ours, fourier_features(flow, 1), atol=0.1)
    assert ours.square().sum(1).mean() == pytest.approx(1, abs=0.2)


def test_features_are_smooth_and_tell_noise_levels_apart(
    tiny_pipeline: Callable[..., Path],
) -> None:
    features = fourier_features(load_denoiser(tiny_pipeline()).schedule, 0)
    assert features.shape == (1000, 128)
    assert float((features[100:] - features[99:-1]).norm(dim=1).max()) < 0.1
    assert float((features[50] - features[950]).norm()) > 0.5


def test_no_noise_and_no_signal_have_features() -> None:
    sigma = torch.linspace(0, 1, T, dtype=torch.float64)
    features = fourier_features(NoiseSchedule(1 - sigma, sigma), 0)
    assert bool(features.isfinite().all())
    assert torch.equal(features[0], features[1])


def test_state_goes_on_bit_for_bit(accelerator: Accelerator) -> None:
    features = fourier_features(schedule(), 0)
    losses = torch.rand(T, generator=torch.Generator().manual_seed(2))
    whole = log_variance(features, 0.01, accelerator)
    fit(whole, losses, 7)
    first = log_variance(features, 0.01, accelerator)
    fit(first, losses, 4)
    second = log_variance(features, 0.01, accelerator)
    second.load({name: value.clone() for name, value in first.state().items()})
    fit(second, losses, 3)
    assert torch.equal(second.weight, whole.weight)
