"""The noise schedule a denoiser was trained on, and what its prediction means.

``x_t = α_t x_0 + σ_t ε`` with tables ``α``, ``σ`` over ``t``. A variance-preserving schedule has
``α_t² = ᾱ_t`` and ``σ_t² = 1 − ᾱ_t``; a flow has ``α_t = 1 − σ_t``. Nothing else here knows which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import ModelError

Prediction = Literal["epsilon", "sample", "v", "flow"]
_DIFFUSERS_NAMES: dict[str, Prediction] = {
    "epsilon": "epsilon",
    "sample": "sample",
    "v_prediction": "v",
    "flow_prediction": "flow",
}


def prediction_from_diffusers(name: str) -> Prediction:
    """What diffusers calls ``prediction_type``, in this project's words.

    Raises:
        ModelError: a prediction type that is not known here.

    """
    if name not in _DIFFUSERS_NAMES:
        raise ModelError(
            f"The pipeline's prediction_type {name!r} is not supported",
            choices=_DIFFUSERS_NAMES,
            given=name,
        )
    return _DIFFUSERS_NAMES[name]


@dataclass(frozen=True)
class NoiseSchedule:
    """``α`` and ``σ`` over the timesteps ``t`` in ``[0, T)``.

    Args:
        alpha: float64 ``(T,)``, the signal's coefficient.
        sigma: float64 ``(T,)``, the noise's coefficient.

    """

    alpha: Tensor
    sigma: Tensor

    @classmethod
    def variance_preserving(cls, alpha_bar: Tensor) -> NoiseSchedule:
        """The schedule with ``α² = ᾱ`` and ``σ² = 1 − ᾱ``; ``alpha_bar`` is ``(T,)`` in (0, 1]."""
        alpha_bar = alpha_bar.double()
        return cls(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())

    @property
    def num_timesteps(self) -> int:
        """``T``."""
        return len(self.alpha)

    @property
    def snr(self) -> Tensor:
        """``SNR(t) = α_t² / σ_t²``, float64 ``(T,)``."""
        return (self.alpha / self.sigma).square()

    def coefficients(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """``α_t`` and ``σ_t`` shaped ``(B, 1, …)`` to multiply ``like`` of shape ``(B, …)``.

        Args:
            t: integer ``(B,)`` in ``[0, T)``.
            like: gives the number of axes, the device and the dtype.

        """
        shape = (-1,) + (1,) * (like.ndim - 1)
        index = t.to(self.alpha.device)
        alpha_t = self.alpha[index].to(like.device, like.dtype).reshape(shape)
        sigma_t = self.sigma[index].to(like.device, like.dtype).reshape(shape)
        return alpha_t, sigma_t

    def add_noise(self, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """``x_t = α_t x_0 + σ_t ε``; all ``(B, …)``, ``t`` is ``(B,)``."""
        alpha_t, sigma_t = self.coefficients(t, x_0)
        return alpha_t * x_0 + sigma_t * noise

    def target(self, prediction: Prediction, x_0: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """What a network of this kind of prediction should output at ``x_t``, ``(B, …)``."""
        if prediction == "epsilon":
            return noise
        if prediction == "sample":
            return x_0
        if prediction == "flow":
            return noise - x_0
        alpha_t, sigma_t = self.coefficients(t, x_0)
        return alpha_t * noise - sigma_t * x_0

    def epsilon(self, prediction: Prediction, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The ``ε`` that an output of this kind of prediction implies, ``(B, …)``."""
        alpha_t, sigma_t = self.coefficients(t, x_t)
        if prediction == "epsilon":
            return output
        if prediction == "sample":
            return (x_t - alpha_t * output) / sigma_t
        if prediction == "v":
            return (sigma_t * x_t + alpha_t * output) / (alpha_t**2 + sigma_t**2)
        return (x_t + alpha_t * output) / (alpha_t + sigma_t)

    def sample(self, prediction: Prediction, output: Tensor, x_t: Tensor, t: Tensor) -> Tensor:
        """The ``x_0`` that an output of this kind of prediction implies, ``(B, …)``."""
        if prediction == "sample":
            return output
        alpha_t, sigma_t = self.coefficients(t, x_t)
        return (x_t - sigma_t * self.epsilon(prediction, output, x_t, t)) / alpha_t

    def to(self, device: torch.device | str) -> NoiseSchedule:
        """The same schedule with its tables on ``device``, so that looking up t does not wait.

        They stay where they are for a device without float64 (``mps``).
        """
        if torch.device(device).type == "mps":
            return self
        return NoiseSchedule(self.alpha.to(device), self.sigma.to(device))
