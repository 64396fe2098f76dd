"""The configuration of a comparison: one run that all arms share, and the arms."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ..config import Config
from ..runs.spec import RunSpec
from .arms.diff_pruning import DiffPruningArm, PrunedArm
from .arms.experts import ExpertsArm
from .arms.finetune import FinetuneArm
from .arms.lcsc import LcscArm
from .arms.merged import MergedArm
from .arms.oms_dpm import OmsDpmArm
from .arms.pipeline import PipelineArm
from .arms.pretrained import PretrainedArm
from .arms.soup import SoupArm
from .contender import Setting

REAL = "real"
"""What real images are called where each arm's are."""

AnyArm = Annotated[
    PretrainedArm
    | PipelineArm
    | FinetuneArm
    | ExpertsArm
    | MergedArm
    | SoupArm
    | LcscArm
    | PrunedArm
    | DiffPruningArm
    | OmsDpmArm,
    Field(discriminator="kind"),
]


class Trials(Config):
    """What every arm is tuned over, on the search's noise and the search's real images."""

    learning_rates: list[float] = Field(min_length=1)
    """Each arm is trained at each of them, at the whole budget, and keeps its best."""
    averages: list[float] = Field(default_factory=list)
    """Relative widths of the weights' average (EDM2's σ_rel) that are tried at the best rate,
    beside the published average; they cost no training."""
    at: Literal["first", "each"] = "first"
    """Tune at the first training seed and use what was found at all, or tune at each."""

    @field_validator("learning_rates", "averages")
    @classmethod
    def _different(cls, values: list[float]) -> list[float]:
        if len(set(values)) != len(values):
            raise ValueError("the values must be different from each other")
        return values

    @property
    def count(self) -> int:
        """Trials for each arm."""
        return len(self.learning_rates) + len(self.averages)


class Curve(Config):
    """Quality against time: arms measured at several numbers of sampler steps."""

    sampler_steps: tuple[int, ...] = ()
    """Numbers of steps; the protocol's own is always among the points."""
    arms: tuple[str, ...] = ()
    """Which arms; arms with a sampler of their own are single points."""


class CompareSpec(Config):
    """A comparison."""

    version: Literal[1] = 1
    """Version of this schema."""
    name: str = "compare"
    """Names the comparison's folder; changes no result."""
    run: RunSpec
    """What all arms share: model, images, detectors, the budget (`decouple.steps` for each of its
    ranges), the search's and the evaluation's protocol. In YAML a recipe's name, a file, or a
    mapping whose `recipe` is one and whose other keys override it."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of training; each arm is trained with each."""
    trials: Trials
    """How arms are tuned, all alike."""
    reference: str
    """The arm that all others are compared with, pairwise."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of the intervals of differences."""
    arms: dict[str, AnyArm] = Field(min_length=1)
    """The rows, in order, by name."""
    curve: Curve = Curve()
    """Quality against time."""

    @field_validator("seeds")
    @classmethod
    def _seeds_differ(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds or len(set(seeds)) != len(seeds):
            raise ValueError("give at least one training seed, all different")
        return seeds

    @field_validator("arms")
    @classmethod
    def _arms_name_files(cls, arms: dict[str, AnyArm]) -> dict[str, AnyArm]:
        for name in arms:
            if name in ("", ".", "..", REAL) or any(mark in name for mark in "/\\\0"):
                raise ValueError(
                    f"{name!r} cannot be an arm's name: its images are a file of that name, and "
                    f"{REAL} is the real ones'"
                )
        return arms

    @model_validator(mode="after")
    def _arms_are_known(self) -> CompareSpec:
        known = list(self.arms)
        named = {"reference": (self.reference,), "curve.arms": self.curve.arms}
        for place, names in named.items():
            for name in names:
                if name not in self.arms:
                    raise ValueError(f"{place} names no arm: {name}; arms: {', '.join(known)}")
        for index, (name, arm) in enumerate(self.arms.items()):
            for of in arm.needs():
                if of not in known[:index]:
                    raise ValueError(
                        f"arms.{name} is made of {of!r}, which is no arm above it; "
                        f"above: {', '.join(known[:index]) or 'none'}"
                    )
        return self

    @model_validator(mode="after")
    def _run_trains(self) -> CompareSpec:
        if self.run.experts is not None:
            raise ValueError("run.experts: a comparison trains its experts; leave it out")
        return self

    def settings(self) -> list[Setting]:
        """The rates, at the published average."""
        return [Setting(rate) for rate in self.trials.learning_rates]
