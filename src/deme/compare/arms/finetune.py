"""One model finetuned on all timesteps: plain, with a loss weighting, or as several tasks."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ...runs.spec import RunSpec
from ..contender import Contender, Setting
from ..tasks import Task
from .contract import Arm, Bench
from .trained import expert_models, training_cost, training_phases

NOT_AN_EXPERT: dict[str, Any] = {
    "ranges": 1,
    "timestep_boundaries": None,
    "p": 0.0,
    "consistency": 0.0,
    "projection": "none",
}
"""What makes a run's only expert a plain finetuning: all timesteps are its own range."""


class FinetuneArm(Arm):
    """A finetuning at the whole budget."""

    kind: Literal["finetune"]
    """One model finetuned on all timesteps."""
    decouple: dict[str, Any] = Field(default_factory=dict)
    """What differs from plain finetuning, such as {weighting: min_snr}; keys of `decouple`."""

    def run(self, bench: Bench, seed: int, setting: Setting) -> RunSpec:
        """The run that trains it: one expert that owns all timesteps."""
        settings = {**NOT_AN_EXPERT, "steps": bench.budget_steps, **self.decouple}
        return bench.training_run(seed, setting, **settings)

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The training, and the average."""
        return training_phases(self.run(bench, seed, setting), 1, setting)

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The finetuned model."""
        spec = self.run(bench, seed, setting)
        (model,) = expert_models(bench, spec, setting)
        return Contender(model, training_cost(bench, spec, 1))
