"""Configuration of the search for merging weights."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from ..generate import SamplerConfig


class SearchConfig(SamplerConfig):
    """How merging weights are found."""

    strategy: Literal["grid"] = "grid"
    """grid: coarse steps, then finer around the best."""
    objective: Literal["frechet"] = "frechet"
    """What is minimised: the Fréchet distance of the detector's features."""
    images: int = Field(default=5000, ge=2)
    """Images for each candidate, all candidates from the same noise."""
    bounds: tuple[float, float] = (0.0, 1.0)
    """Smallest and largest weight of an expert; weights may be negative or above 1."""
    levels: int = Field(default=3, ge=2)
    """Grid points along each weight in the coarse grid."""
    refinements: int = Field(default=2, ge=0)
    """Finer grids around the best, each of half the step."""
    seed: int = 1_000
    """Seed of the search's noise; the evaluation's seeds must be others."""

    @field_validator("bounds")
    @classmethod
    def _increasing(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] >= bounds[1]:
            raise ValueError("bounds must be [low, high] with low < high")
        return bounds
