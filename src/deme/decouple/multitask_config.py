"""Configuration of training as multi-task learning: ranges of timesteps that share one network.

ANT (Go et al., "Addressing Negative Transfer in Diffusion Models", arXiv:2306.00354) takes each
cluster of timesteps for a task. Defaults are that paper's, or its published code's where the
paper has no number.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ..config import Config

ClusterBy = Literal["timestep", "snr", "gradient"]
MultiTaskMethod = Literal[
    "uncertainty",
    "nash_mtl",
    "pcgrad",
    "cagrad",
    "upgrad",
    "imtl_g",
    "mgda",
    "aligned_mtl",
    "mean",
]
PUBLISHED_UPDATE_EVERY = {"nash_mtl": 25}
"""Steps between two games of ANT's published code; PCGrad plays each step."""


class MultiTaskConfig(Config):
    """Clusters of timesteps as tasks (ANT), and how their losses or gradients are balanced."""

    clusters: int = Field(default=5, ge=1)
    """How many intervals the timesteps are split into; 1 is plain training. ANT's is 5."""
    cluster_by: ClusterBy = "timestep"
    """What an interval is to have in common: t, log SNR, or the direction of its gradients."""
    method: MultiTaskMethod = "uncertainty"
    """`uncertainty` learns a log-variance for each cluster (UW); any other name combines the
    clusters' gradients: one backward pass for each of them at a step that plays."""
    uncertainty_learning_rate: float = Field(default=0.025, ge=0)
    """Rate of the log-variances (ANT's published code: 0.025); 0 is plain training."""
    update_every: int | None = Field(default=None, ge=1)
    """Gradients are compared anew each so many steps, and their weights kept in between. None: 25
    for nash_mtl as in ANT's published code, 1 for others."""
    affinity_bins: int = Field(default=20, ge=2)
    """`gradient`: equal bins of timesteps whose mean gradients are compared; clusters are made of
    whole bins. Memory: a gradient of the whole network for each."""
    affinity_images: int = Field(default=512, ge=1)
    """`gradient`: images behind each bin's mean gradient (the DeMe paper's figure 1a: 512)."""

    @model_validator(mode="after")
    def _bins_suffice(self) -> MultiTaskConfig:
        if self.cluster_by == "gradient" and self.affinity_bins < self.clusters:
            raise ValueError(
                f"{self.clusters} clusters cannot be made of {self.affinity_bins} bins: give more "
                "affinity_bins or fewer clusters"
            )
        return self

    @property
    def steps_between_games(self) -> int:
        """After how many steps the clusters' gradients are compared anew."""
        return self.update_every or PUBLISHED_UPDATE_EVERY.get(self.method, 1)
