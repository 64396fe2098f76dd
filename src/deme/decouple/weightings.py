"""Weights over t on the denoising loss. Each is defined on ``‖x_0 − x̂_0‖²`` and converted.

A weight ``w(t)`` on the x_0-error equals ``w(t) / SNR(t)`` on the ε-error, because
``‖ε − ε̂‖² = SNR · ‖x_0 − x̂_0‖²``; likewise for v, whose error is ``(SNR + 1)`` times the
x_0-error, and for a flow's, ``((α + σ) / σ)²`` times. Here ``standard`` is the plain loss on what
the network predicts, ``snr`` the ε-loss whatever it predicts.
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

WeightingName = Literal[
    "standard", "snr", "snr_plus_one", "truncated_snr", "min_snr", "p2", "learned"
]
GAMMA_MIN_SNR = 5.0
"""Hang et al., arXiv:2303.09556."""
GAMMA_P2 = 1.0
"""Choi et al., arXiv:2204.00227, as METHOD's experiments have it."""
K_P2 = 1.0

_TimesNoise = Callable[[Tensor, Tensor, float, float], Tensor]
_TIMES_NOISE: dict[str, _TimesNoise] = {
    "snr": lambda signal, noise, gamma, k: signal,
    "snr_plus_one": lambda signal, noise, gamma, k: signal + noise,
    "truncated_snr": lambda signal, noise, gamma, k: torch.maximum(signal, noise),
    "min_snr": lambda signal, noise, gamma, k: torch.minimum(signal, gamma * noise),
    "p2": lambda signal, noise, gamma, k: signal * (noise / (k * noise + signal)) ** gamma,
}
"""``w · σ²`` of signal ``α²``, noise ``σ²``, γ and k: finite where SNR is not.

snr ``SNR`` · snr_plus_one ``SNR + 1`` · truncated_snr ``max(SNR, 1)`` · min_snr ``min(SNR, γ)`` ·
p2 ``SNR / (k + SNR)^γ``.
"""


def sample_error_factor(schedule: NoiseSchedule, prediction: Prediction) -> Tensor:
    """The prediction's squared error over the x_0-error's, per t, float64 ``(T,)``."""
    return _error_factor_times_noise(schedule, prediction) / schedule.sigma.square()


def _error_factor_times_noise(schedule: NoiseSchedule, prediction: Prediction) -> Tensor:
    alpha, sigma = schedule.alpha, schedule.sigma
    if prediction == "sample":
        return sigma.square()
    if prediction == "epsilon":
        return alpha.square()
    if prediction == "v":
        return (alpha.square() + sigma.square()).square()
    return (alpha + sigma).square()


def make_weighting(
    name: WeightingName, *, gamma: float | None = None, k: float | None = None
) -> Weighting | None:
    """The fixed weighting called ``name``; None where it is 1 everywhere or learned.

    Where a weight has no bound (``snr`` on a predicted sample at ``σ = 0``, say), it is that of the
    nearest timestep that has one.

    Args:
        name: one of the names.
        gamma: γ of ``min_snr`` (None: 5) and ``p2`` (None: 1).
        k: of ``p2`` (None: 1).

    Raises:
        ConfigError: the name is unknown.

    """
    if name in ("standard", "learned"):
        return None
    if name not in _TIMES_NOISE:
        raise ConfigError(
            f"Unknown weighting {name!r}",
            choices=["standard", *_TIMES_NOISE, "learned"],
            given=name,
        )
    if gamma is None:
        gamma = GAMMA_MIN_SNR if name == "min_snr" else GAMMA_P2
    constants = (gamma, K_P2 if k is None else k)

    def weighting(denoiser: Denoiser, t: Tensor) -> Tensor:
        schedule = denoiser.schedule
        signal, noise = schedule.alpha.square(), schedule.sigma.square()
        table = _TIMES_NOISE[name](signal, noise, *constants)
        table = table / _error_factor_times_noise(schedule, denoiser.prediction)
        return _bounded(table)[t.to(table.device)]

    return weighting


def _bounded(table: Tensor) -> Tensor:
    """Entries that are not finite become the nearest that is; nothing here waits for a device."""
    finite = table.isfinite()
    places = torch.arange(len(table), device=table.device)
    away = (places[:, None] - places[None, :]).abs().masked_fill(~finite[None, :], len(table))
    return table[away.argmin(1)]
