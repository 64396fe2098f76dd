"""Probabilistic timestep sampling (Eq. 6), antithetic as in the published code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ..errors import ConfigError
from .partition import TimestepRange


@dataclass(frozen=True)
class TimestepSampler:
    """Draws t from the expert's own range with probability 1 − p, from ``[0, T)`` with p.

    Args:
        timesteps: the expert's own range.
        num_timesteps: ``T``.
        p: probability of all timesteps, in [0, 1].
        per: draw own-or-all once per ``batch`` (the published code) or for each ``sample``.
        antithetic: half a batch at t, the other half at ``low + high − 1 − t`` of the range that
            t was drawn from: each pair has that range's mean timestep, which lowers the
            gradient's variance. In a batch of odd size one sample has no partner.

    Raises:
        ConfigError: p outside [0, 1], or a range that exceeds T.

    """

    timesteps: TimestepRange
    num_timesteps: int
    p: float
    per: Literal["batch", "sample"] = "batch"
    antithetic: bool = True

    def __post_init__(self) -> None:
        """Checks p and the range."""
        if not 0 <= self.p <= 1:
            raise ConfigError(f"p = {self.p} is not a probability", fix="give p in [0, 1]")
        if self.timesteps.high > self.num_timesteps:
            raise ConfigError(
                f"The range {self.timesteps} exceeds the model's {self.num_timesteps} timesteps",
                fix=f"end it at {self.num_timesteps} or before",
            )

    def sample(self, batch_size: int, generator: torch.Generator) -> Tensor:
        """Timesteps int64 ``(B,)`` in ``[0, T)``."""
        half = (batch_size + 1) // 2 if self.antithetic else batch_size
        draws = 1 if self.per == "batch" else half
        everywhere = (torch.rand(draws, generator=generator) < self.p).expand(half)
        low = torch.where(everywhere, 0, self.timesteps.low)
        high = torch.where(everywhere, self.num_timesteps, self.timesteps.high)
        uniform = torch.rand(half, generator=generator, dtype=torch.float64)
        t = low + (uniform * (high - low)).long()
        if not self.antithetic:
            return t
        return torch.cat([t, low + high - 1 - t])[:batch_size]
