"""Configuration of the decouple stage. Defaults are METHOD's published recipe where it has one."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ..config import Config
from ..denoisers.contract import Placement
from ..errors import ConfigError
from .multitask_config import MultiTaskConfig
from .partition import Partition, TimestepRange
from .power_average import LARGEST_WIDTH
from .snapshots import SnapshotSchedule
from .weightings import WeightingName

LearningRateSchedule = Literal["constant", "linear", "cosine"]
LEARNED_RATE = 0.01
"""The rate of EDM2-S, whose learned weighting is trained at its network's (arXiv:2312.02696)."""


class TrainingConfig(Config):
    """What the one training loop is told; experts and baselines share it."""

    steps: int = Field(default=20_000, ge=0)
    """Optimizer steps for each expert (not micro-batches)."""
    batch_size: int = Field(default=64, ge=1)
    """Images in one micro-batch of one process."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Micro-batches in one optimizer step."""
    learning_rate: float = Field(default=2e-4, gt=0)
    """AdamW's rate."""
    lr_scheduler: LearningRateSchedule = "constant"
    """How the rate goes over the steps after the warm-up: constant, or down to 0."""
    lr_warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the rate rises from 0."""
    adam_beta1: float = Field(default=0.95, ge=0, lt=1)
    """Decay of AdamW's first moment."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of AdamW's second moment."""
    adam_weight_decay: float = Field(default=1e-6, ge=0)
    """AdamW's weight decay."""
    adam_epsilon: float = Field(default=1e-8, gt=0)
    """AdamW's ε."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""
    use_ema: bool = True
    """The exponential moving average of the weights is the result."""
    ema_max_decay: float = Field(default=0.9999, ge=0, lt=1)
    """Upper bound of the average's decay."""
    ema_inv_gamma: float = Field(default=1.0, gt=0)
    """The decay at step k is min(max, 1 − (1 + k / inv_gamma)^−power)."""
    ema_power: float = Field(default=0.75, gt=0)
    """See ema_inv_gamma."""
    weighting: WeightingName = "standard"
    """Weight over t on the denoising loss; `learned` is EDM2's uncertainty of each noise level."""
    weighting_gamma: float | None = Field(default=None, gt=0)
    """γ of min_snr and p2. None: the paper's, 5 and 1."""
    weighting_k: float | None = Field(default=None, gt=0)
    """k of p2. None: the paper's, 1."""
    weighting_learning_rate: float | None = Field(default=None, ge=0)
    """Rate of what `weighting: learned` learns, which goes over the steps as learning_rate does.
    None: 0.01; at 0 it is plain training."""
    multitask: MultiTaskConfig | None = None
    """Clusters of timesteps as tasks (ANT), such as {method: uncertainty} or {method: nash_mtl,
    cluster_by: snr}. Keys: clusters (5), cluster_by (timestep, snr, gradient), method (uncertainty,
    nash_mtl, pcgrad, cagrad, upgrad, imtl_g, mgda, aligned_mtl, mean), uncertainty_learning_rate,
    update_every, affinity_bins, affinity_images. None: one task."""
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    """What the accelerator is made with. None: what `accelerate config` says."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third slower."""
    compile: bool = False
    """torch.compile the network."""

    @model_validator(mode="after")
    def _balancing_is_possible(self) -> TrainingConfig:
        method = self.multitask.method if self.multitask is not None else None
        if self.weighting_gamma is not None and self.weighting not in ("min_snr", "p2"):
            raise ValueError(f"weighting_gamma is no setting of the weighting {self.weighting}")
        if self.weighting_k is not None and self.weighting != "p2":
            raise ValueError(f"weighting_k is no setting of the weighting {self.weighting}")
        if self.weighting_learning_rate is not None and self.weighting != "learned":
            raise ValueError(f"the weighting {self.weighting} learns nothing at any rate")
        if self.weighting == "learned" and method == "uncertainty":
            raise ValueError(
                "weighting: learned and multitask.method: uncertainty learn the same: give one"
            )
        if self.mixed_precision == "fp16" and method not in (None, "uncertainty"):
            raise ValueError(
                f"multitask.method: {method} compares gradients, which fp16 scales and lets "
                "overflow: use mixed_precision: bf16 or no"
            )
        return self

    @model_serializer(mode="wrap")
    def _silent_where_off(self, default: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Runs are named by a hash of this: those without a setting keep the name they had."""
        values = default(self)
        for name in self._off():
            values.pop(name, None)
        return values

    def _off(self) -> list[str]:
        names = ("weighting_gamma", "weighting_k", "weighting_learning_rate", "multitask")
        return [name for name in names if getattr(self, name) is None]

    @property
    def learned_rate(self) -> float:
        """Learning rate of a learned weighting."""
        rate = self.weighting_learning_rate
        return LEARNED_RATE if rate is None else rate

    def snapshot_schedule(self) -> SnapshotSchedule:
        """Which averages are kept besides the end, and when: none."""
        return SnapshotSchedule()


class DecoupleConfig(TrainingConfig):
    """How experts are made."""

    ranges: int | list[tuple[int, int]] = 4
    """N equal ranges, or a list of [low, high) pairs that cover all timesteps."""
    timestep_boundaries: list[int] | None = None
    """Inner boundaries of the ranges, such as [250, 500, 750]; in place of `ranges`."""
    tree: bool = False
    """Experts come from a binary tree (eDiff-I): each range starts from the model of the range that
    holds it; the steps of all levels together are the same budget."""
    p: float = Field(default=0.3, ge=0, le=1)
    """Probability that a draw is from all timesteps and not from the expert's own range."""
    draw_per: Literal["batch", "sample"] = "batch"
    """Whether own-or-all is drawn once a batch (as published) or for each sample."""
    antithetic: bool = True
    """Half a batch at t, the other half mirrored within the range."""
    consistency: float = Field(default=1.0, ge=0)
    """Coefficient of the distance to the frozen pretrained model's prediction."""
    projection: Placement = "foldable"
    """Channel-wise projections: `foldable` (absorbed at the end), `block` (the paper's), `none`."""
    snapshots: int = Field(default=0, ge=0)
    """Evenly spaced steps at which each expert's averages are kept, so that the length of its
    training can be searched. Disk: one model for each expert, step and width. 0: none."""
    snapshot_sigmas: tuple[float, ...] = Field(default=(0.05, 0.1), min_length=1)
    """Relative widths of the averages kept (EDM2's σ_rel); other widths are made of them."""

    @model_validator(mode="after")
    def _one_way_to_say_ranges(self) -> DecoupleConfig:
        if self.timestep_boundaries is not None and "ranges" in self.model_fields_set:
            raise ValueError("give either ranges or timestep_boundaries, not both")
        if isinstance(self.ranges, int):
            if self.ranges < 1:
                raise ValueError("ranges must be at least 1")
        elif not self.ranges:
            raise ValueError("ranges must list at least one [low, high) pair")
        else:
            try:  # whether they end at T is known only with the model
                self._listed_partition(max(high for _, high in self.ranges))
            except ConfigError as error:
                raise ValueError(str(error)) from None
        return self

    @field_validator("snapshot_sigmas")
    @classmethod
    def _widths_are_possible(cls, sigmas: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < sigma <= LARGEST_WIDTH for sigma in sigmas):
            raise ValueError(f"snapshot_sigmas must be above 0 and at most {LARGEST_WIDTH:.4f}")
        if sorted({*sigmas}) != list(sigmas):
            raise ValueError("snapshot_sigmas must increase")
        return sigmas

    def _off(self) -> list[str]:
        names = super()._off()
        if self.snapshots == 0:
            names += ["snapshots", "snapshot_sigmas"]
        return names if self.tree else [*names, "tree"]

    def snapshot_schedule(self) -> SnapshotSchedule:
        """Which averages are kept besides the end, and when."""
        if self.snapshots == 0:
            return SnapshotSchedule()
        return SnapshotSchedule.even(self.steps, self.snapshots, self.snapshot_sigmas)

    def _listed_partition(self, num_timesteps: int) -> Partition:
        pairs = self.ranges if isinstance(self.ranges, list) else []
        return Partition(tuple(TimestepRange(*pair) for pair in pairs), num_timesteps)

    def partition(self, num_timesteps: int) -> Partition:
        """The ranges for a model of ``T`` timesteps.

        Raises:
            ConfigError: they overlap, leave a gap, or do not end at ``T``.

        """
        if self.timestep_boundaries is not None:
            return Partition.from_boundaries(self.timestep_boundaries, num_timesteps)
        if isinstance(self.ranges, int):
            return Partition.uniform(self.ranges, num_timesteps)
        return self._listed_partition(num_timesteps)


def learning_rate_factor(config: TrainingConfig, step: int) -> float:
    """What the rate is multiplied by at optimizer step ``step`` in ``[0, steps)``."""
    if step < config.lr_warmup_steps:
        return (step + 1) / (config.lr_warmup_steps + 1)
    if config.lr_scheduler == "constant":
        return 1.0
    done = (step - config.lr_warmup_steps) / max(config.steps - config.lr_warmup_steps, 1)
    return 1 - done if config.lr_scheduler == "linear" else 0.5 * (1 + math.cos(math.pi * done))
