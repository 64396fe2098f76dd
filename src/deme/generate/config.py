"""Configuration of a sampler."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ..config import Config

SamplerName = Literal["ddim", "ddpm", "pndm", "dpmsolver++"]


class SamplerConfig(Config):
    """How images are drawn from a denoiser."""

    sampler: SamplerName = "ddim"
    """One of diffusers' schedulers, built from the pipeline's own scheduler configuration."""
    sampler_steps: int = Field(default=50, ge=1)
    """Sampler steps."""
    eta: float = Field(default=0.0, ge=0, le=1)
    """DDIM's η: 0 is deterministic, 1 as noisy as DDPM. Only for ddim."""
    sample_batch_size: int = Field(default=256, ge=1)
    """Images at once. Results agree between batch sizes to float rounding."""

    def describe(self) -> str:
        """Sampler and steps in a word, for protocols: `ddim-50`."""
        noise = f"-eta{self.eta:g}" if self.eta else ""
        return f"{self.sampler}-{self.sampler_steps}{noise}"
