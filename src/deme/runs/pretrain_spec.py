"""The configuration of a pretraining."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from ..config import Config
from ..data import DataConfig
from ..decouple.config import TrainingConfig
from ..denoisers import ModelConfig
from ..denoisers.loading import BUNDLED
from ..files import hash_value
from ..generate import SamplerConfig
from .pretrain_architectures import SHIPPED
from .spec import EvaluateConfig, JointConfig, RunSpec, RuntimeConfig


class StartConfig(Config):
    """What is trained, and from where."""

    architecture: str | dict[str, Any] | None = None
    """A shipped architecture (ddpm-cifar10-32, ddpm-small-32, ddpm-tiny-32, ddpm-tiny-28,
    ddpm-tiny-16), or the keys of a UNet2DModel's configuration; its weights are drawn at random."""
    changes: dict[str, Any] = Field(default_factory=dict)
    """Keys of the architecture with other values, such as {dropout: 0.1, num_class_embeds: 10}."""
    path: str | None = None
    """In place of an architecture: a pipeline's folder or hub id, to go on from its weights."""
    revision: str | None = None
    """Of a path on the hub: branch, tag or commit."""
    variant: str | None = None
    """Of a path: weight file variant, such as fp16."""
    random_weights: bool = False
    """Of a path: take its architecture and noise schedule, and draw the weights at random."""

    @field_validator("architecture")
    @classmethod
    def _is_known(cls, value: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
        if isinstance(value, str) and value not in SHIPPED:
            raise ValueError(f"no architecture is called so; shipped: {', '.join(SHIPPED)}")
        return value

    @model_validator(mode="after")
    def _one_start(self) -> StartConfig:
        if (self.architecture is None) == (self.path is None):
            raise ValueError("give either an architecture or a path")
        if self.path is None and (self.revision or self.variant or self.random_weights):
            raise ValueError("revision, variant and random_weights are of a path")
        if self.changes and not self.is_random:
            raise ValueError("changes need random weights: those of the path would not fit")
        return self

    @property
    def is_random(self) -> bool:
        """Whether training starts from random weights."""
        return self.path is None or self.random_weights


class NoiseScheduleConfig(Config):
    """The forward process of an architecture; a path brings its own. Defaults are DDPM's."""

    num_train_timesteps: int = Field(default=1000, ge=2)
    """T."""
    beta_start: float = Field(default=1e-4, gt=0, lt=1)
    """β at t = 0."""
    beta_end: float = Field(default=0.02, gt=0, lt=1)
    """β at t = T − 1."""
    beta_schedule: Literal["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"] = "linear"
    """How β goes between them; squaredcos_cap_v2 is the cosine schedule, which needs neither."""
    prediction_type: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    """What the network predicts."""
    variance_type: Literal["fixed_small", "fixed_large"] = "fixed_small"
    """Variance of DDPM's reverse steps; no other sampler reads it."""
    clip_sample: bool = True
    """Samplers clip the predicted image to [−1, 1]."""


class PretrainTraining(TrainingConfig):
    """How it is trained: the one training loop, on all timesteps."""

    antithetic: bool = True
    """Half a batch at t, the other half at T − 1 − t."""


class PlateauConfig(Config):
    """Training in rounds until more of the same does not help.

    A round is a whole training of `training.steps` from where the one before ended, its averages
    and moments anew.
    """

    rounds: int = Field(default=1, ge=1)
    """The most rounds; 1: train once and compare nothing."""
    seeds: tuple[int, ...] = Field(default=(1000, 1001, 1002, 1003), min_length=2)
    """Noise seeds on which rounds are compared, pairwise; none of them evaluate's."""
    least_gain: float = Field(default=0.01, ge=0, lt=1)
    """Another round follows where the last lowered the Fréchet distance by more than this share of
    it, and by more than twice the standard error of the paired differences over the seeds."""

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("the seeds must be different from each other")
        return seeds


class SamplesConfig(SamplerConfig):
    """The picture of samples."""

    images: int = Field(default=64, ge=0)
    """How many; 0: none."""
    seed: int = 0
    """Of their noise."""


def start_values(text: str) -> dict[str, str]:
    """A model that is written as one word: a folder, a hub id, the bundled model, or a name."""
    is_path = "/" in text or text in BUNDLED or Path(text).expanduser().is_dir()
    return {"path" if is_path else "architecture": text}


class PretrainSpec(Config):
    """A pretraining: what is trained, on what, how, and how that is measured."""

    version: Literal[1] = 1
    """Version of this schema."""
    name: str = "pretrain"
    """Names the folder; changes no result."""
    model: StartConfig
    """What is trained; the name of a shipped architecture, a folder or a hub id is short for it."""
    scheduler: NoiseScheduleConfig = NoiseScheduleConfig()
    """The noise schedule of an architecture."""
    data: DataConfig
    """The images."""
    seed: int = 0
    """Seed of the initial weights and of training."""
    training: PretrainTraining = PretrainTraining()
    """How it is trained."""
    plateau: PlateauConfig = PlateauConfig()
    """How long it is trained."""
    samples: SamplesConfig = SamplesConfig()
    """The picture of samples."""
    detector: str | None = None
    """Feature network that measures the result; see a run's `detector`. None: no numbers."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """The protocol of the numbers, a run's own; `arms` is not read."""
    runtime: RuntimeConfig = RuntimeConfig()
    """How it is carried out, in one process or under `accelerate launch`; `workers` and `ray` are
    not read."""

    @field_validator("model", mode="before")
    @classmethod
    def _model_by_name(cls, value: Any) -> Any:
        return start_values(value) if isinstance(value, str) else value

    @field_validator("data", mode="before")
    @classmethod
    def _data_by_name(cls, value: Any) -> Any:
        return {"dataset": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fits_together(self) -> PretrainSpec:
        if self.model.path is not None and "scheduler" in self.model_fields_set:
            raise ValueError("scheduler is of an architecture: a path brings its own")
        if self.plateau.rounds > 1 and self.detector is None:
            raise ValueError("plateau.rounds above 1 compares rounds, which needs a detector")
        if shared := sorted({*self.plateau.seeds} & {*self.evaluate.seeds}):
            raise ValueError(f"{shared[0]} is among both plateau.seeds and evaluate.seeds")
        try:  # names and seeds are checked by a run
            _ = self.as_run(ModelConfig(path="checked"))
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise ValueError(message) from None
        return self

    def as_run(self, model: ModelConfig) -> RunSpec:
        """The run with one range and no method that this pretraining is, on a start that is there.

        Its single expert, ``[0, T)`` with no consistency loss and no projection, is the model.
        """
        training = self.training.model_dump(mode="json")
        plain = {"ranges": 1, "p": 0.0, "consistency": 0.0, "projection": "none"}
        return RunSpec.model_validate(
            {
                "name": self.name,
                "model": model,
                "data": self.data,
                "detector": self.detector or "digits",
                "seed": self.seed,
                "decouple": {**training, **plain},
                "joint": JointConfig(enabled=False),
                "search": {"seed": self.plateau.seeds[0], "fresh_seed": self.plateau.seeds[1]},
                "evaluate": self.evaluate,
                "runtime": self.runtime.model_copy(update={"workers": 1, "ray": None}),
            }
        )

    def meaning(self) -> dict[str, Any]:
        """What decides the weights. How they are measured does, where that ends the training."""
        chosen = {"version", "model", "data", "seed", "training"}
        if self.model.path is None:
            chosen |= {"scheduler"}
        if self.plateau.rounds > 1:
            chosen |= {"plateau", "detector", "evaluate"}
        values = self.model_dump(mode="json", include=chosen)
        if isinstance(self.model.architecture, str):
            values["model"]["architecture"] = SHIPPED[self.model.architecture]
        return values

    def digest(self) -> str:
        """Eight hexadecimal digits of the meaning's hash."""
        return hash_value(self.meaning())[:8]
