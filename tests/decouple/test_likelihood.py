import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from deme.data import ImageSource, MemorySource
from deme.decouple import Partition
from deme.decouple.likelihood import decoder_loss, likelihood_bound, step_divergence, why_no_bound
from deme.denoisers import Conditioning, Denoiser, NoiseSchedule, Prediction, load_denoiser
from deme.errors import ModelError

SPREAD = 0.3
"""Standard deviation of the Gaussian data, in units where grey levels go from −1 to 1."""
PREDICTIONS: list[Prediction] = ["epsilon", "sample", "v"]


@pytest.fixture
def schedule() -> NoiseSchedule:
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    return NoiseSchedule.variance_preserving(torch.cumprod(1 - betas, dim=0))


@pytest.fixture
def gaussian_source() -> ImageSource:
    """Grey images of independent Gaussian pixels, rounded to levels."""
    draws = torch.Generator().manual_seed(1)
    pixels = 127.5 + 127.5 * SPREAD * torch.randn(256, 1, 8, 8, generator=draws)
    return MemorySource.from_images(pixels.round().clamp(0, 255).to(torch.uint8))


def fine_schedule() -> NoiseSchedule:
    """Even steps of log-SNR, from noise below a grey level: the bound is nearly tight on it."""
    log_snr = torch.linspace(12, -10, 1000, dtype=torch.float64)
    return NoiseSchedule.variance_preserving(torch.sigmoid(log_snr))


def best_guess(schedule: NoiseSchedule, x_t: Tensor, t: Tensor) -> Tensor:
    """``E[x_0 | x_t]`` of the Gaussian data."""
    alpha, sigma = schedule.coefficients(t, x_t)
    return alpha * SPREAD**2 * x_t / (alpha**2 * SPREAD**2 + sigma**2)


@pytest.fixture
def best_denoiser(
    tiny_pipeline: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Denoiser]:
    """The exact denoiser of the Gaussian data, predicting what is asked for."""

    def make(prediction: Prediction = "epsilon", schedule: NoiseSchedule | None = None) -> Denoiser:
        denoiser = load_denoiser(tiny_pipeline())
        schedule = schedule or denoiser.schedule

        def predict(x_t: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
            alpha, sigma = schedule.coefficients(t, x_t)
            x_0 = best_guess(schedule, x_t, t)
            return schedule.target(prediction, x_0, (x_t - alpha * x_0) / sigma, t)

        denoiser.prediction, denoiser.schedule = prediction, schedule
        monkeypatch.setattr(denoiser, "predict", predict)
        return denoiser

    return make


def exact_divergences(schedule: NoiseSchedule) -> Tensor:
    """Nats a pixel of each step but the first: the closed form of the Gaussian data, ``(T − 1,)``.

    Written with the posterior's means and variance, not with SNRs.
    """
    alpha_bar = schedule.alpha**2
    before, now = alpha_bar[:-1], alpha_bar[1:]
    beta = 1 - now / before
    variance = beta * (1 - before) / (1 - now)
    weight = before.sqrt() * beta / (1 - now)  # of x_0 in the posterior's mean
    error = SPREAD**2 * (1 - now) / (now * SPREAD**2 + 1 - now)
    return weight**2 * error / (2 * variance)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_each_range_is_the_sum_of_its_steps_for_gaussian_data(
    prediction: Prediction,
    best_denoiser: Callable[..., Denoiser],
    gaussian_source: ImageSource,
    schedule: NoiseSchedule,
) -> None:
    partition = Partition.from_boundaries([1, 100, 500], 1000)
    bound = likelihood_bound(
        best_denoiser(prediction), gaussian_source, partition, images=256, clip=False
    )
    exact = exact_divergences(schedule) / math.log(2)
    expected = [
        float(exact[low - 1 : high - 1].sum()) for low, high in ((1, 100), (100, 500), (500, 1000))
    ]
    assert bound.ranges[1:] == pytest.approx(expected, rel=0.05)
    assert 0 < bound.prior < 1e-4


def test_the_bound_is_just_above_the_entropy_of_gaussian_data(
    best_denoiser: Callable[..., Denoiser], gaussian_source: ImageSource
) -> None:
    denoiser = best_denoiser(schedule=fine_schedule())
    bound = likelihood_bound(
        denoiser, gaussian_source, Partition.uniform(4), images=256, clip=False
    )
    density = 0.5 * math.log2(2 * math.pi * math.e * SPREAD**2)
    entropy = density + math.log2(127.5)  # of the grey level, in bits a pixel
    assert bound.total == math.fsum(bound.ranges) + bound.prior
    assert entropy < bound.total < entropy + 0.25


def test_draws_are_the_same_for_every_model_and_batch_size(
    best_denoiser: Callable[..., Denoiser], gaussian_source: ImageSource
) -> None:
    denoiser, partition = best_denoiser(), Partition.uniform(3)
    first = likelihood_bound(denoiser, gaussian_source, partition, images=40, batch_size=40)
    second = likelihood_bound(denoiser, gaussian_source, partition, images=40, batch_size=7)
    other = likelihood_bound(denoiser, gaussian_source, partition, images=40, seed=1)
    assert first.ranges == pytest.approx(second.ranges, rel=1e-9)
    assert first.ranges != other.ranges


def test_a_worse_denoiser_has_a_larger_bound_where_it_is_worse(
    best_denoiser: Callable[..., Denoiser],
    gaussian_source: ImageSource,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    denoiser, partition = best_denoiser(), Partition.uniform(4)
    best = likelihood_bound(denoiser, gaussian_source, partition, images=128)
    exact = denoiser.predict

    def worse(x_t: Tensor, t: Tensor, conditioning: Conditioning) -> Tensor:
        late = (t >= 500).to(x_t.dtype)[:, None, None, None]
        return exact(x_t, t, conditioning) * (1 - 0.5 * late)

    monkeypatch.setattr(denoiser, "predict", worse)
    found = likelihood_bound(denoiser, gaussian_source, partition, images=128)
    assert found.ranges[:2] == best.ranges[:2]
    assert all(a > b for a, b in zip(found.ranges[2:], best.ranges[2:], strict=True))


def test_the_decoder_is_a_distribution_over_the_grey_levels(schedule: NoiseSchedule) -> None:
    levels = torch.arange(256, dtype=torch.float64)[:, None] / 127.5 - 1
    for mean in (-1.2, -0.999, 0.1234, 0.97, 1.0):
        losses = decoder_loss(schedule, levels, torch.full_like(levels, mean))
        assert float(torch.exp(-losses).sum()) == pytest.approx(1, abs=1e-12)
        assert losses.isfinite().all()
        assert int(losses.argmin()) == round(127.5 * (min(max(mean, -1), 1) + 1))


def test_a_perfect_prediction_diverges_from_nothing(schedule: NoiseSchedule) -> None:
    x_0 = torch.rand(5, 1, 4, 4) * 2 - 1
    t = torch.tensor([1, 2, 500, 998, 999])
    assert step_divergence(schedule, x_0, x_0, t).tolist() == [0.0] * 5
    assert float(step_divergence(schedule, x_0, x_0 + 1, t).min()) > 0


def test_models_without_such_a_process_are_refused(
    best_denoiser: Callable[..., Denoiser], gaussian_source: ImageSource
) -> None:
    denoiser = best_denoiser()
    assert why_no_bound(denoiser) is None
    denoiser.prediction = "flow"
    with pytest.raises(ModelError, match="it is a flow model"):
        likelihood_bound(denoiser, gaussian_source, Partition.uniform(2))
    denoiser.prediction = "v"
    sigma = torch.linspace(0.01, 0.99, 1000, dtype=torch.float64)
    denoiser.schedule = NoiseSchedule(1 - sigma, sigma)
    assert why_no_bound(denoiser) == "its noise schedule is not variance-preserving"
