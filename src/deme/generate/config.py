"""Configuration of a sampler."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from ..config import Config

SamplerName = Literal["ddim", "ddpm", "pndm", "dpmsolver++"]


class SamplerConfig(Config):
    """How images are drawn from a denoiser."""

    sampler: SamplerName = "ddim"
    """One of diffusers' schedulers, built from the pipeline's own scheduler configuration."""
    sampler_steps: int = Field(default=50, ge=1)
    """Sampler steps: at most the model's T, best a divisor of it. ddim, ddpm and pndm space the
    steps T // steps apart up from 0, so that 600 of 1000 would begin at t = 599, as if on noise."""
    eta: float = Field(default=0.0, ge=0, le=1)
    """DDIM's η: 0 is deterministic, 1 as noisy as DDPM. Only for ddim."""
    sample_batch_size: int = Field(default=256, ge=1)
    """Images at once. Results agree between batch sizes to float rounding."""

    @model_validator(mode="after")
    def _eta_is_of_ddim(self) -> Self:
        if self.eta and self.sampler != "ddim":
            raise ValueError(f"eta {self.eta:g} is of ddim; {self.sampler} takes none")
        return self

    def describe(self) -> str:
        """Sampler and steps in a word, for protocols: `ddim-50`."""
        noise = f"-eta{self.eta:g}" if self.eta else ""
        return f"{self.sampler}-{self.sampler_steps}{noise}"
