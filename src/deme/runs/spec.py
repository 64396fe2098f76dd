"""The whole configuration of a run."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ..config import Config
from ..data import DataConfig
from ..decouple import DecoupleConfig
from ..denoisers import ModelConfig
from ..files import hash_value
from ..generate import SamplerConfig
from ..search import SearchConfig

Arm = Literal["pretrained", "joint", "routed", "uniform", "merged"]
ARMS: tuple[Arm, ...] = ("pretrained", "joint", "routed", "uniform", "merged")
Tracker = Literal[
    "aim",
    "clearml",
    "comet_ml",
    "dvclive",
    "mlflow",
    "swanlab",
    "tensorboard",
    "trackio",
    "wandb",
]
MetricName = Literal["frechet", "kid", "precision", "recall"]


class ExternalExpert(Config):
    """An expert that another trainer made."""

    path: str
    """Its pipeline folder or weights file."""
    min_timestep: int
    """First timestep of the range it was trained on."""
    max_timestep: int
    """The range's end, not included."""


class JointConfig(Config):
    """The comparison everybody would make: one model finetuned on all timesteps, equal budget."""

    enabled: bool = True
    """Train it and show it in the table."""
    learning_rates: list[float] | None = None
    """Rates to try, each at the whole budget; the best on the search's noise is kept. None: the
    experts' own rate."""


class EvaluateConfig(SamplerConfig):
    """The protocol of the final numbers."""

    arms: tuple[Arm, ...] = ARMS
    """What stands in the table."""
    metrics: tuple[MetricName, ...] = ("frechet", "kid", "precision", "recall")
    """Which numbers."""
    images: int | None = Field(default=None, ge=2)
    """Generated images per number; None: as many as the reference has, at most 50 000."""
    seeds: tuple[int, ...] = (2000, 2001, 2002)
    """Noise seeds, none of them the search's; numbers are mean ± deviation over them."""
    reference: Literal["halves", "all"] = "all"
    """all: search and evaluation compare with all real images (the published protocol). halves:
    with disjoint halves of them, and the floor is the distance between the two."""
    validation_images: int = Field(default=512, ge=1)
    """Images for every model's denoising loss on every range."""
    detectors: tuple[str, ...] = ()
    """Further detectors that the search never sees, for the table only."""


class RuntimeConfig(Config):
    """How the run is carried out. Nothing here changes its result."""

    device: str | None = None
    """cpu, cuda, mps; None: the best there is."""
    workers: int = Field(default=1, ge=1)
    """Processes on this machine that train experts and draw images side by side, each on a GPU of
    its own where there are several."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each process; None: as torch decides, shared among the workers."""
    checkpointing_steps: int = Field(default=500, ge=1)
    """A checkpoint every so many steps."""
    checkpoints_total_limit: int | None = Field(default=1, ge=1)
    """How many checkpoints stay; only the last keeps the optimizer. None: all."""
    report_to: tuple[Tracker, ...] = ()
    """Trackers, by accelerate's names: tensorboard, wandb, …"""
    tracker_project_name: str = "deme"
    """Project name for the trackers."""


class RunSpec(Config):
    """A run: what is improved, on what, how, and how that is judged."""

    version: Literal[1] = 1
    """Version of this schema."""
    name: str = "run"
    """Names the run's folder; changes no result."""
    model: ModelConfig
    """The pretrained pipeline."""
    data: DataConfig
    """The images."""
    detector: str = "digits"
    """Feature network of search and evaluation: `digits` (bundled), `inception` (the StyleGAN and
    EDM papers' own, so that `frechet` is FID), or the path or URL of a TorchScript detector
    (uint8 in, features out)."""
    seed: int = 0
    """Seed of training."""
    decouple: DecoupleConfig = DecoupleConfig()
    """How experts are made."""
    experts: list[ExternalExpert] | None = None
    """Experts that exist already; then none are trained."""
    joint: JointConfig = JointConfig()
    """The joint finetuning that the result is compared with."""
    search: SearchConfig = SearchConfig()
    """How merging weights are found."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """The protocol of the final numbers."""
    runtime: RuntimeConfig = RuntimeConfig()
    """How the run is carried out."""

    @field_validator("model", mode="before")
    @classmethod
    def _model_by_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @field_validator("data", mode="before")
    @classmethod
    def _data_by_name(cls, value: Any) -> Any:
        return {"dataset": value} if isinstance(value, str) else value

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, value: str) -> str:
        if not value or value in (".", "..") or any(mark in value for mark in "/\\\0"):
            raise ValueError("name must be a plain folder name")
        return value

    @model_validator(mode="after")
    def _search_and_evaluation_noises_differ(self) -> RunSpec:
        if self.search.seed in self.evaluate.seeds:
            raise ValueError(
                f"search.seed {self.search.seed} is among evaluate.seeds: weights must be judged "
                "on noise that the search never saw"
            )
        if len(set(self.evaluate.seeds)) != len(self.evaluate.seeds):
            raise ValueError("evaluate.seeds must be different from each other")
        return self

    def meaning(self) -> dict[str, Any]:
        """What decides the result: all but the name and the runtime."""
        return self.model_dump(mode="json", exclude={"name", "runtime"})

    def digest(self) -> str:
        """Eight hexadecimal digits of the meaning's hash."""
        return hash_value(self.meaning())[:8]
