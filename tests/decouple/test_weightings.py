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
    "snr": lambda snr: snr,
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
    assert set(get_args(WeightingName)) == {"standard", "learned", *CLOSED_FORMS}


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


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v", "flow"])
def test_snr_is_the_loss_on_noise_whatever_is_predicted(
    denoiser: Denoiser, prediction: Prediction
) -> None:
    x_0, guess = torch.randn((2, 4, 1, 8, 8), generator=torch.Generator().manual_seed(3)).double()
    found = implied_loss(denoiser, prediction, "snr", x_0, guess)
    plain = implied_loss(denoiser, "epsilon", "standard", x_0, guess)
    assert found == pytest.approx(plain, rel=1e-5)


def test_snr_on_noise_is_one_exactly(denoiser: Denoiser) -> None:
    weighting = make_weighting("snr")
    assert weighting is not None
    assert torch.equal(weighting(denoiser, torch.arange(1000)), torch.ones(1000).double())


@pytest.mark.parametrize(("name", "gamma", "k", "closed_form"), [
    ("min_snr", 2.0, None, lambda snr: snr.clamp(max=2)),
    ("p2", 0.5, None, lambda snr: snr / (1 + snr).sqrt()),
    ("p2", None, 3.0, lambda snr: snr / (3 + snr)),
    ("p2", 2.0, 0.5, lambda snr: snr / (0.5 + snr).square()),
])  # fmt: skip
def test_other_gammas(
    denoiser: Denoiser,
    name: WeightingName,
    gamma: float | None,
    k: float | None,
    closed_form: Callable[[Tensor], Tensor],
) -> None:
    weighting = make_weighting(name, gamma=gamma, k=k)
    assert weighting is not None
    found = weighting(predicting(denoiser, "sample"), torch.arange(1000))
    assert torch.allclose(found, closed_form(denoiser.schedule.snr), rtol=1e-9)


def whole_flow(denoiser: Denoiser, prediction: Prediction) -> Denoiser:
    """From no noise at t = 0 to no signal at t = 999."""
    sigma = torch.linspace(0, 1, 1000, dtype=torch.float64)
    denoiser.schedule = NoiseSchedule(1 - sigma, sigma)
    return predicting(denoiser, prediction)


LIMITS: dict[str, dict[str, tuple[float | None, float | None]]] = {
    "snr": {"epsilon": (1, 1), "sample": (None, 0), "v": (1, 0), "flow": (1, 0)},
    "snr_plus_one": {"epsilon": (1, None), "sample": (None, 1), "v": (1, 1), "flow": (1, 1)},
    "truncated_snr": {"epsilon": (1, None), "sample": (None, 1), "v": (1, 1), "flow": (1, 1)},
    "min_snr": {"epsilon": (0, 1), "sample": (5, 0), "v": (0, 0), "flow": (0, 0)},
    "p2": {"epsilon": (0, 1), "sample": (1, 0), "v": (0, 0), "flow": (0, 0)},
}
"""Weights at SNR → ∞ (t = 0) and SNR → 0 (t = 999), by hand; None: no bound."""


@pytest.mark.parametrize("name", list(LIMITS))
@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v", "flow"])
def test_limits_of_no_noise_and_no_signal(
    denoiser: Denoiser, name: WeightingName, prediction: Prediction
) -> None:
    weighting = make_weighting(name)
    assert weighting is not None
    weights = weighting(whole_flow(denoiser, prediction), torch.arange(1000))
    assert bool(weights.isfinite().all())
    ends = (float(weights[0]), float(weights[1])), (float(weights[999]), float(weights[998]))
    for limit, (end, beside) in zip(LIMITS[name][prediction], ends, strict=True):
        if limit is None:
            assert end == beside > 100
        else:
            assert end == pytest.approx(limit, abs=2e-5)


@pytest.mark.parametrize("name", ["standard", "learned"])
def test_no_weight_over_t(name: WeightingName) -> None:
    assert make_weighting(name) is None


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
        "Choices: standard, snr, snr_plus_one, truncated_snr, min_snr, p2, learned."
    )
