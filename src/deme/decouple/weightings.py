"""Weights over t on the denoising loss. Each is defined on ``‖x_0 − x̂_0‖²`` and converted.

A weight ``w(t)`` on the x_0-error equals ``w(t) / SNR(t)`` on the ε-error, because
``‖ε − ε̂‖² = SNR · ‖x_0 − x̂_0‖²``; likewise for v, whose error is ``(SNR + 1)`` times the
x_0-error. Here ``standard`` is the plain loss on what the network predicts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from ..denoisers import Denoiser, NoiseSchedule, Prediction
from ..errors import ConfigError

Weighting = Callable[[Denoiser, Tensor], Tensor]
"""From a denoiser and ``t`` ``(B,)`` to a weight per sample ``(B,)``."""

WeightingName = Literal["standard", "snr_plus_one", "truncated_snr", "min_snr", "p2"]
GAMMA_MIN_SNR = 5.0
GAMMA_P2 = 1.0
K_P2 = 1.0

_ON_SAMPLE_ERROR: dict[str, Callable[[Tensor], Tensor]] = {
    "snr_plus_one": lambda snr: snr + 1,
    "truncated_snr": lambda snr: snr.clamp(min=1),
    "min_snr": lambda snr: snr.clamp(max=GAMMA_MIN_SNR),
    "p2": lambda snr: snr / (K_P2 + snr) ** GAMMA_P2,
}


def sample_error_factor(schedule: NoiseSchedule, prediction: Prediction) -> Tensor:
    """The prediction's squared error over the x_0-error's, per t, float64 ``(T,)``."""
    alpha, sigma = schedule.alpha, schedule.sigma
    if prediction == "sample":
        return torch.ones_like(alpha)
    if prediction == "epsilon":
        return (alpha / sigma).square()
    if prediction == "v":
        return ((alpha**2 + sigma**2) / sigma).square()
    return ((alpha + sigma) / sigma).square()


def make_weighting(name: WeightingName) -> Weighting | None:
    """The weighting called ``name``; None for ``standard``.

    Raises:
        ConfigError: the name is unknown.

    """
    if name == "standard":
        return None
    if name not in _ON_SAMPLE_ERROR:
        raise ConfigError(
            f"Unknown weighting {name!r}", choices=["standard", *_ON_SAMPLE_ERROR], given=name
        )
    on_sample_error = _ON_SAMPLE_ERROR[name]

    def weighting(denoiser: Denoiser, t: Tensor) -> Tensor:
        schedule = denoiser.schedule
        table = on_sample_error(schedule.snr)
        table = table / sample_error_factor(schedule, denoiser.prediction)
        return table[t.to(table.device)]

    return weighting
