"""What one training is told, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..data import ImageSource
from ..denoisers import Denoiser
from ..denoisers.contract import Placement
from ..errors import ConfigError
from .config import TrainingConfig
from .timesteps import TimestepSampler

ProgressCallback = Callable[[int, Mapping[str, float]], None]
"""Called with the number of finished steps and the latest means (loss, rate)."""


@dataclass(frozen=True)
class TrainingJob:
    """One training: what is trained on what.

    Args:
        name: unique in the run; part of the seed's meaning.
        pretrained: where it starts, :attr:`start` aside; never changed.
        source: the images.
        timesteps: how t is drawn.
        config: steps, rates and averages.
        placement: where channel-wise projections go.
        teacher: the frozen model of the consistency loss, or None.
        consistency: coefficient of the consistency loss.
        seed: the run's training seed.
        start: weights to start from where they are not the pretrained model's: another denoiser of
            its architecture.

    Raises:
        ConfigError: a consistency loss without a teacher, or timesteps that are not the model's.

    """

    name: str
    pretrained: Denoiser
    source: ImageSource
    timesteps: TimestepSampler
    config: TrainingConfig
    placement: Placement
    teacher: Denoiser | None
    consistency: float
    seed: int
    start: Denoiser | None = None

    def __post_init__(self) -> None:
        """Checks that the parts belong together."""
        if self.consistency > 0 and self.teacher is None:
            raise ConfigError(
                f"{self.name} has consistency {self.consistency} and no teacher",
                fix="give the pretrained denoiser as teacher, or consistency 0",
            )
        total = self.pretrained.schedule.num_timesteps
        if self.timesteps.num_timesteps != total:
            raise ConfigError(
                f"{self.name} draws from {self.timesteps.num_timesteps} timesteps, "
                f"{self.pretrained.name} has {total}",
                fix=f"make the TimestepSampler with num_timesteps {total}",
            )


@dataclass(frozen=True)
class TrainingResult:
    """A finished training: the denoiser (its average, projections folded) and its loss curve."""

    denoiser: Denoiser
    losses: list[dict[str, float]]
