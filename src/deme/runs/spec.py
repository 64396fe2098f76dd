"""The whole configuration of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ..config import Config
from ..data import DataConfig
from ..decouple import DecoupleConfig
from ..denoisers import ModelConfig
from ..files import hash_value
from ..generate import SamplerConfig
from ..metrics.named_protocols import ProtocolName
from ..search import SearchConfig
from .expert_names import name_experts
from .protocol_filling import filled_evaluation, filled_run

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
MetricName = Literal[
    "frechet",
    "kid",
    "precision",
    "recall",
    "density",
    "coverage",
    "inception_score",
    "inception_score_unsplit",
    "sfid",
    "cmmd",
]


class ExternalExpert(Config):
    """An expert that another trainer made."""

    path: str
    """A pipeline's or component's folder, a file of weights, a LoRA or one of its relatives, an
    expert that `deme compress` wrote, or a hub id."""
    min_timestep: int | None = Field(default=None, ge=0)
    """First timestep of the range it was trained on; None: 0, or what its files note where
    max_timestep is None too."""
    max_timestep: int | None = Field(default=None, ge=1)
    """The range's end, not included; None: the model's T, or what its files note where min_timestep
    is None too. Ranges of several experts may overlap and leave gaps: then there is no routed
    ensemble to compare with."""
    name: str | None = None
    """What the run calls it; None: as its file or folder is called."""

    @model_validator(mode="after")
    def _range_holds_a_timestep(self) -> ExternalExpert:
        low, high = self.min_timestep or 0, self.max_timestep
        if high is not None and low >= high:
            raise ValueError(f"min_timestep {low} must be below max_timestep {high}")
        return self

    @field_validator("name")
    @classmethod
    def _name_is_a_folder_name(cls, value: str | None) -> str | None:
        return value if value is None else _folder_name(value)


class JointConfig(Config):
    """The comparison everybody would make: one model finetuned on all timesteps, equal budget."""

    enabled: bool = True
    """Train it and show it in the table."""
    learning_rates: list[float] | None = None
    """Rates to try, each at the whole budget; the best on the search's noise is kept. None: the
    experts' own rate."""


class EvaluateConfig(SamplerConfig):
    """The protocol of the final numbers."""

    protocol: ProtocolName | None = None
    """A published protocol by name (`deme evaluate --protocols`). It fills what is not given here,
    in `detector` and in `data`, and refuses what contradicts it."""
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

    @model_validator(mode="before")
    @classmethod
    def _protocol_fills(cls, values: Any) -> Any:
        return filled_evaluation(values) if isinstance(values, Mapping) else values

    @model_serializer(mode="wrap")
    def _silent_without_protocol(self, default: SerializerFunctionWrapHandler) -> dict[str, Any]:
        values = default(self)
        if self.protocol is None:
            values.pop("protocol", None)
        return values


class RuntimeConfig(Config):
    """How the run is carried out. Nothing here changes its result."""

    device: str | None = None
    """cpu, cuda, mps; None: the best there is."""
    workers: int = Field(default=1, ge=1)
    """Processes on this machine that train experts and draw images side by side, each on a GPU of
    its own where there are several."""
    ray: str | None = None
    """Where those processes are instead: on the Ray cluster at this address (host:6379; auto: the
    one that this machine belongs to; local: one started here), which must share the run's folder.
    """
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


def _folder_name(value: str) -> str:
    if not value or value in (".", "..") or any(mark in value for mark in "/\\\0"):
        raise ValueError("name must be a plain folder name")
    return value


def _require_different(key: str, values: list[str]) -> None:
    """Checks that no two experts share a path or a name.

    ``a`` and ``./a`` are one path; names that differ in letter case alone are one name.
    """
    seen: set[str] = set()
    for value in values:
        folded = value.casefold() if key == "name" else os.path.normpath(value)
        if folded in seen:
            raise ValueError(f"the {key} {value} is given to two experts")
        seen.add(folded)


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

    @model_validator(mode="before")
    @classmethod
    def _protocol_fills(cls, values: Any) -> Any:
        return filled_run(values) if isinstance(values, Mapping) else values

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
        return _folder_name(value)

    @field_validator("experts")
    @classmethod
    def _experts_are_told_apart(
        cls, experts: list[ExternalExpert] | None
    ) -> list[ExternalExpert] | None:
        if experts is None:
            return None
        if not experts:
            raise ValueError("experts names none; leave it out to train them")
        _require_different("path", [expert.path for expert in experts])
        given = [expert.name for expert in experts if expert.name is not None]
        _require_different("name", given)
        if taken := sorted({*given} & {*ARMS}):
            raise ValueError(f"{', '.join(taken)} is no expert's name: an arm is called so")
        unnamed = [expert.path for expert in experts if expert.name is None]
        names = iter(name_experts(unnamed, [*ARMS, *given]))
        return [
            expert if expert.name is not None else expert.model_copy(update={"name": next(names)})
            for expert in experts
        ]

    @model_validator(mode="after")
    def _search_and_evaluation_noises_differ(self) -> RunSpec:
        if self.search.seed in self.evaluate.seeds:
            raise ValueError(
                f"search.seed {self.search.seed} is among evaluate.seeds: weights must be judged "
                "on noise that the search never saw"
            )
        if self.search.fresh_seed in self.evaluate.seeds:
            raise ValueError(
                f"search.fresh_seed {self.search.fresh_seed} is among evaluate.seeds: the table's "
                "noise is to be seen by nothing before"
            )
        if len(set(self.evaluate.seeds)) != len(self.evaluate.seeds):
            raise ValueError("evaluate.seeds must be different from each other")
        return self

    @model_validator(mode="after")
    def _snapshots_are_kept_before_they_are_searched(self) -> RunSpec:
        kept = self.decouple.snapshot_schedule().steps
        if self.search.snapshots and (self.experts is not None or len(kept) < 3):
            raise ValueError(
                "search.snapshots needs experts that are trained here, with decouple.snapshots of "
                "at least 3: steps are searched from the second to the last"
            )
        if self.search.snapshots and self.decouple.tree:
            raise ValueError(
                "search.snapshots cannot be with decouple.tree: an expert's own steps are the last "
                "of those that made it"
            )
        return self

    def meaning(self) -> dict[str, Any]:
        """What decides the result: all but the name and the runtime.

        A protocol's name is left out: it is what it fills in.
        """
        excluded = {"name": True, "runtime": True, "evaluate": {"protocol"}}
        return self.model_dump(mode="json", exclude=excluded)

    def digest(self) -> str:
        """Eight hexadecimal digits of the meaning's hash."""
        return hash_value(self.meaning())[:8]
