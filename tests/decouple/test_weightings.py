"""Weightings against METHOD's closed forms."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

import pytest
import torch
from torch import Tensor, nn

from deme.decouple import expert_loss
from deme.decouple.weightings import WeightingName, make_weighting
from deme.denoisers import Denoiser, NoiseSchedule, Prediction, load_denoiser
from deme.errors import ConfigError

CLOSED_FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "snr_plus_one": lambda snr: snr + 1,
    "truncated_snr": lambda snr: torch.maximum(snr, torch.ones_like(snr)),
    "min_snr": lambda snr: torch.minimum(snr, torch.full_like(snr, 5)),
    "p2": lambda snr: snr / (1 + snr),
}
"""On the squared error of the sample, as METHOD lists them."""


@pytest.fixture
def denoiser(tiny_pipeline: Callable[..., Path]) -> Denoiser:
    return load_denoiser(tiny_pipeline())


def predicting(denoiser: Denoiser, prediction: Prediction) -> Denoiser:
    denoiser.prediction = prediction
    return denoiser


def test_every_weighting_is_tested() -> None:
    assert set(get_args(WeightingName)) == {"standard", *CLOSED_FORMS}


@pytest.mark.parametrize("name", list(CLOSED_FORMS))
def test_on_noise_it_is_the_closed_form_over_snr(denoiser: Denoiser, name: Any) -> None:
    weighting = make_weighting(name)
    assert weighting is not None
    t = torch.arange(1000)
    snr = denoiser.schedule.snr
    expected = CLOSED_FORMS[name](snr) / snr
    assert torch.allclose(weighting(denoiser, t), expected, rtol=1e-9)
    sample = weighting(predicting(denoiser, "sample"), t)
    assert torch.allclose(sample, CLOSED_FORMS[name](snr), rtol=1e-9)


class Answer(nn.Module):
    """A network that answers with what it was given."""

    def __init__(self, output: Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, *inputs: Any, **more: Any) -> tuple[Tensor]:
        return (self.output,)


def implied_loss(
    denoiser: Denoiser, prediction: Prediction, name: WeightingName, x_0: Tensor, guess: Tensor
) -> float:
    """The loss of a network whose output implies the sample ``guess``."""
    t = torch.tensor([1, 200, 500, 800])
    noise = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(2)).double()
    x_t = denoiser.schedule.add_noise(x_0, noise, t)
    alpha, sigma = denoiser.schedule.coefficients(t, x_0)
    epsilon = (x_t - alpha * guess) / sigma
    output = denoiser.schedule.target(prediction, guess, epsilon, t)
    loss = expert_loss(
        predicting(denoiser, prediction),
        Answer(output),
        None,
        x_0=x_0,
        noise=noise,
        t=t,
        conditioning={},
        weighting=make_weighting(name),
    )
    return float(loss.total)


@pytest.mark.parametrize("flow", [False, True], ids=["variance preserving", "flow"])
@pytest.mark.parametrize("name", list(CLOSED_FORMS))
def test_the_same_error_costs_the_same_whatever_is_predicted(
    denoiser: Denoiser, name: Any, flow: bool
) -> None:
    if flow:
        sigma = torch.linspace(0.02, 0.98, 1000, dtype=torch.float64)
        denoiser.schedule = NoiseSchedule(1 - sigma, sigma)
    draws = torch.Generator().manual_seed(1)
    x_0, error = torch.randn((2, 4, 1, 8, 8), generator=draws).double()
    guess = x_0 + 0.3 * error
    t = torch.tensor([1, 200, 500, 800])
    weights = CLOSED_FORMS[name](denoiser.schedule.snr)[t]
    expected = float((weights * (guess - x_0).square().flatten(1).mean(1)).mean())
    for prediction in ("epsilon", "sample", "v", "flow"):
        found = implied_loss(denoiser, cast(Prediction, prediction), name, x_0, guess)
        assert found == pytest.approx(expected, rel=1e-5)


def test_standard_is_the_plain_loss(denoiser: Denoiser) -> None:
    assert make_weighting("standard") is None


def test_zero_terminal_snr_with_velocity_is_finite(denoiser: Denoiser) -> None:
    schedule = denoiser.schedule
    alpha = schedule.alpha.clone()
    alpha[-1] = 0
    denoiser.schedule = dataclasses.replace(
        NoiseSchedule.variance_preserving(alpha.square()), alpha=alpha
    )
    for name in CLOSED_FORMS:
        weighting = make_weighting(cast(WeightingName, name))
        assert weighting is not None
        assert bool(weighting(predicting(denoiser, "v"), torch.arange(1000)).isfinite().all())


def test_an_unknown_name_lists_the_choices() -> None:
    wrong: Any = "min_srn"
    with pytest.raises(ConfigError) as caught:
        make_weighting(wrong)
    assert str(caught.value) == (
        "Unknown weighting 'min_srn'. Did you mean 'min_snr'? "
        "Choices: standard, snr_plus_one, truncated_snr, min_snr, p2."
    )
