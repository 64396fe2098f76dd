"""Loss weights that are learned: the loss of each noise level over its own uncertainty.

The loss ``ℓ(t)`` of a timestep becomes ``ℓ(t) / exp(u(t)) + u(t)``, where ``u``, the logarithm of a
variance, is learned beside the network (Kendall et al., arXiv:1705.07115). Its best value is
``log E[ℓ(t)]``: in the end each timestep weighs the same. Here ``u(t) = φ(t)·w`` with ``w`` zero at
the start, and the features ``φ`` say which method it is:

- Fourier features of the noise level: EDM2 (Karras et al., arXiv:2312.02696, Eq. 14–15);
- one for each cluster of timesteps: ANT-UW (Go et al., arXiv:2306.00354).

The network's gradient needs ``u`` as a constant, and that of ``w`` needs the loss as a constant, so
each is taken by itself: no scaling and no clipping of the network's gradient reaches ``w``.
Kendall's factor ½ on the whole is left out, so that at rate 0 the loss is the plain one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..denoisers import Denoiser, NoiseSchedule
from ..randomness import generator
from .clusters import log_snr
from .draws import Draw
from .game import ErrorsOf
from .loss import SampleErrors

FOURIER_FEATURES = 128
"""As in EDM2's published training."""


def fourier_features(schedule: NoiseSchedule, seed: int) -> Tensor:
    """EDM2's features of the noise level (its Eq. 75), float32 ``(T, 128)`` of length about 1.

    ``√(2/128) cos(2π(f·c + φ))`` with random ``f ~ N(0, 1)`` and ``φ ~ U[0, 1)``, of
    ``c_noise = ¼ log(σ/α)``: EDM's σ is the ratio of noise to signal, which a variance-preserving
    schedule and a flow both have. Without noise or without signal, ``c_noise`` is clipped to that
    of the other timesteps.

    Args:
        schedule: of T timesteps.
        seed: of the frequencies and phases.

    """
    c_noise = -log_snr(schedule) / 8  # log SNR = −2 log(σ/α)
    draws = generator(seed, "noise level features")
    frequencies = torch.randn(FOURIER_FEATURES, generator=draws).double()
    phases = torch.rand(FOURIER_FEATURES, generator=draws).double()
    waves = torch.cos(2 * math.pi * (c_noise[:, None] * frequencies + phases))
    return (math.sqrt(2 / FOURIER_FEATURES) * waves).float()


class LogVariance:
    """``u(t) = φ(t)·w``: what a step's losses are divided by, with a small optimizer of its own.

    Nothing here is a matrix product: in mixed precision ``u`` would lose its digits.

    Args:
        make_features: gives ``φ``, float32 ``(T, F)``, when it is first needed.
        size: F.
        rate: AdamW's learning rate at the start; 0 leaves ``u`` at zero.
        accelerator: its device; gradients are means over its processes.

    """

    def __init__(
        self, make_features: Callable[[], Tensor], size: int, rate: float, accelerator: Accelerator
    ) -> None:
        self.rate = rate
        self.accelerator = accelerator
        self.weight = nn.Parameter(torch.zeros(size, device=accelerator.device))
        self.optimizer = torch.optim.AdamW([self.weight], lr=0.0, weight_decay=0.0)
        self._make_features = make_features
        self._gradient = torch.zeros_like(self.weight)
        self._mean = torch.zeros((), device=accelerator.device)

    @cached_property
    def features(self) -> Tensor:
        """``φ``, float32 ``(T, F)``."""
        return self._make_features().to(self.accelerator.device)

    @torch.no_grad()
    def at(self, t: Tensor) -> Tensor:
        """``u`` of timesteps ``(B,)``, float32."""
        return (self._rows(t) * self.weight).sum(1)

    def weighting(self, denoiser: Denoiser, t: Tensor) -> Tensor:
        """``exp(−u)``, a :data:`~deme.decouple.weightings.Weighting`."""
        return torch.exp(-self.at(t))

    def watching(self, errors_of: ErrorsOf, share: float) -> ErrorsOf:
        """The same losses, each micro-batch's observed; ``share`` is what it is of the step."""

        def observed(draw: Draw) -> SampleErrors:
            errors = errors_of(draw)
            self.observe(draw.t, errors.denoising.detach(), share)
            return errors

        return observed

    @torch.no_grad()
    def observe(self, t: Tensor, losses: Tensor, share: float) -> None:
        """Adds a micro-batch to the step's gradient of ``w``.

        ``d/du (ℓ·exp(−u) + u) = 1 − ℓ·exp(−u)``.

        Args:
            t: ``(B,)``.
            losses: ``ℓ·exp(−u)``, the weighted losses ``(B,)``.
            share: what the micro-batch is of the step.

        """
        self._gradient += ((1 - losses)[:, None] * self._rows(t)).mean(0) * share
        self._mean += self.at(t).mean() * share

    def step(self, factor: float) -> Tensor:
        """A step by what was observed, at ``factor`` of the rate; returns the mean of ``u``."""
        self.weight.grad = cast(Tensor, self.accelerator.reduce(self._gradient, "mean"))
        self.optimizer.param_groups[0]["lr"] = self.rate * factor
        self.optimizer.step()
        mean = self._mean
        self._gradient, self._mean = torch.zeros_like(self.weight), torch.zeros_like(mean)
        return mean

    def _rows(self, t: Tensor) -> Tensor:
        return self.features[t.to(self.features.device, non_blocking=True)]

    def state(self) -> dict[str, Tensor]:
        """``w`` and its optimizer's moments, by name."""
        return {"weight": self.weight.detach(), **self.optimizer.state_dict()["state"].get(0, {})}

    @torch.no_grad()
    def load(self, state: Mapping[str, Tensor]) -> None:
        """Puts back what :meth:`state` gave."""
        moments = dict(state)
        self.weight.copy_(moments.pop("weight"))
        full = self.optimizer.state_dict()
        full["state"] = {0: moments}
        self.optimizer.load_state_dict(full)
