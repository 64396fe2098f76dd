"""Schedules and predictions equal diffusers'."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from deme.denoisers import NoiseSchedule, Prediction
from deme.denoisers.schedule import prediction_from_diffusers
from deme.errors import ModelError

SCHEDULES: dict[str, dict[str, Any]] = {
    "linear": {"beta_schedule": "linear"},
    "scaled_linear": {"beta_schedule": "scaled_linear", "beta_start": 8.5e-4, "beta_end": 0.012},
    "cosine": {"beta_schedule": "squaredcos_cap_v2"},
    "zero terminal SNR": {"beta_schedule": "linear", "rescale_betas_zero_snr": True},
    "fewer steps": {"beta_schedule": "linear", "num_train_timesteps": 100},
}


@pytest.fixture(params=list(SCHEDULES))
def reference(request: pytest.FixtureRequest) -> DDPMScheduler:
    return DDPMScheduler(**SCHEDULES[request.param])


def ours(scheduler: DDPMScheduler | DDIMScheduler) -> NoiseSchedule:
    return NoiseSchedule.variance_preserving(scheduler.alphas_cumprod)


def every_t(schedule: NoiseSchedule) -> torch.Tensor:
    return torch.arange(schedule.num_timesteps)


def pair(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    draws = torch.Generator().manual_seed(1)
    first, second = torch.randn((2, count, 2, 3, 3), generator=draws)
    return first, second


def test_alpha_bar_equals_diffusers(reference: DDPMScheduler) -> None:
    schedule = ours(reference)
    assert schedule.num_timesteps == reference.config["num_train_timesteps"]
    assert torch.allclose(schedule.alpha.square().float(), reference.alphas_cumprod, atol=1e-7)
    total = schedule.alpha.square() + schedule.sigma.square()
    assert torch.allclose(total, torch.ones_like(total), atol=1e-12)


def test_noising_equals_diffusers(reference: DDPMScheduler) -> None:
    schedule = ours(reference)
    t = every_t(schedule)
    x_0, noise = pair(len(t))
    expected = reference.add_noise(x_0, noise, t)  # type: ignore[arg-type]
    assert torch.allclose(schedule.add_noise(x_0, noise, t), expected, atol=1e-6)


def test_velocity_equals_diffusers(reference: DDPMScheduler) -> None:
    schedule = ours(reference)
    t = every_t(schedule)
    x_0, noise = pair(len(t))
    expected = reference.get_velocity(x_0, noise, t)  # type: ignore[arg-type]
    assert torch.allclose(schedule.target("v", x_0, noise, t), expected, atol=1e-6)


def test_snr_is_alpha_bar_over_the_rest(reference: DDPMScheduler) -> None:
    alpha_bar = reference.alphas_cumprod.double()
    assert torch.allclose(ours(reference).snr, alpha_bar / (1 - alpha_bar), rtol=1e-10)


@pytest.mark.parametrize("prediction", get_args(Prediction))
@pytest.mark.parametrize("flow", [False, True], ids=["variance preserving", "flow"])
def test_target_gives_back_noise_and_sample(prediction: Prediction, flow: bool) -> None:
    if flow:
        sigma = torch.linspace(0.02, 0.98, 50, dtype=torch.float64)
        schedule = NoiseSchedule(1 - sigma, sigma)
    else:
        schedule = ours(DDPMScheduler(num_train_timesteps=50, beta_start=0.001, beta_end=0.1))
    t = every_t(schedule)
    x_0, noise = (tensor.double() for tensor in pair(50))
    x_t = schedule.add_noise(x_0, noise, t)
    output = schedule.target(prediction, x_0, noise, t)
    assert torch.allclose(schedule.epsilon(prediction, output, x_t, t), noise, atol=1e-9)
    assert torch.allclose(schedule.sample(prediction, output, x_t, t), x_0, atol=1e-9)


@pytest.mark.parametrize("name", ["epsilon", "sample", "v_prediction"])
def test_the_implied_sample_is_what_diffusers_implies(name: Any) -> None:
    """DDIM's own ``pred_original_sample``, for an output that is no exact target."""
    scheduler = DDIMScheduler(prediction_type=name, clip_sample=False)
    scheduler.set_timesteps(scheduler.config["num_train_timesteps"])
    schedule = ours(scheduler)
    x_t, output = pair(1)
    for t in (3, 400, 900):
        step: Any = scheduler.step(output, t, x_t)  # type: ignore[arg-type]
        at = torch.tensor([t])
        implied = schedule.sample(prediction_from_diffusers(name), output, x_t, at)
        assert torch.allclose(implied, step.pred_original_sample, rtol=1e-4, atol=1e-5)


def test_tables_follow_the_device_and_lookup_keeps_dtype() -> None:
    schedule = ours(DDPMScheduler())
    assert schedule.to("meta").alpha.device.type == "meta"
    assert schedule.to("mps") is schedule  # no float64 there
    alpha, sigma = schedule.coefficients(torch.tensor([0, 999]), torch.zeros(2, 1, 4, 4))
    assert alpha.shape == sigma.shape == (2, 1, 1, 1)
    assert alpha.dtype == torch.float32


def test_an_unknown_prediction_type_names_the_choices() -> None:
    with pytest.raises(ModelError) as caught:
        prediction_from_diffusers("v_predicton")
    assert str(caught.value) == (
        "The pipeline's prediction_type 'v_predicton' is not supported. "
        "Did you mean 'v_prediction'? "
        "Choices: epsilon, sample, v_prediction, flow_prediction."
    )
