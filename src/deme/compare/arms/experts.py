"""Experts before a search: routed by t (several models), or merged by equal weights."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ...decouple import Partition
from ...runs.spec import RunSpec
from ..contender import Contender, Setting
from ..models import CombinedModel, RoutedModel
from ..tasks import Task
from .contract import Arm, Bench
from .trained import expert_models, training_cost, training_phases


class ExpertsArm(Arm):
    """An expert per timestep range, all N in use."""

    kind: Literal["experts"]
    """An expert per timestep range."""
    serve: Literal["routed", "uniform"] = "routed"
    """routed: the expert that owns t, N models. uniform: merged, each with weight 1/N."""
    decouple: dict[str, Any] = Field(default_factory=dict)
    """What differs from the base run's experts, such as {tree: true}; keys of `decouple`."""

    def run(self, bench: Bench, seed: int, setting: Setting) -> RunSpec:
        """The run that trains them."""
        return bench.training_run(seed, setting, **self.decouple)

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The trainings, and the averages."""
        spec = self.run(bench, seed, setting)
        return training_phases(spec, len(_partition(bench, spec)), setting)

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The ensemble, or the uniform merge."""
        spec = self.run(bench, seed, setting)
        models = expert_models(bench, spec, setting)
        cost = training_cost(bench, spec, len(models))
        if self.serve == "uniform":
            weights = (1 / len(models),) * len(models)
            return Contender(CombinedModel(bench.context.base_digest, models, weights), cost)
        boundaries = _partition(bench, spec).boundaries
        return Contender(RoutedModel(models, boundaries), cost)


def _partition(bench: Bench, spec: RunSpec) -> Partition:
    return spec.decouple.partition(bench.context.denoiser.schedule.num_timesteps)
