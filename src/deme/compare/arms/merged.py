"""Experts merged with searched weights: DeMe's, and the merge methods that rival it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ...config import parse_config
from ...decouple import DecoupleConfig, Partition
from ...files import read_json
from ...runs.spec import EvaluateConfig, ExternalExpert, RunSpec
from ...search import SearchConfig
from ..contender import Contender, Cost, Setting
from ..models import PipelineModel
from ..tasks import SearchTask, Task, sibling
from .contract import Arm, Bench
from .trained import expert_folders, training_cost, training_phases


class MergedArm(Arm):
    """One stock model: experts merged, the weights searched as `deme search` does."""

    kind: Literal["merged"]
    """Experts merged with searched weights."""
    decouple: dict[str, Any] = Field(default_factory=dict)
    """What differs from the base run's experts; keys of `decouple`."""
    search: dict[str, Any] = Field(default_factory=dict)
    """What differs from the base run's search, such as {merge_method: ties, parameters: {density:
    [0.1, 1]}}; keys of `search`."""

    def experts_run(self, bench: Bench, seed: int, setting: Setting) -> RunSpec:
        """The run that trains the experts."""
        return bench.training_run(seed, setting, **self.decouple)

    def search_run(self, bench: Bench, seed: int, setting: Setting) -> RunSpec:
        """The run that searches: the finished experts are given to it."""
        base = bench.context.spec
        spec = self.experts_run(bench, seed, setting)
        partition = _partition(bench, spec)
        folders = expert_folders(bench, spec, setting)
        experts = [
            ExternalExpert(
                path=str(folder),
                min_timestep=timesteps.low,
                max_timestep=timesteps.high,
                name=folder.name,
            )
            for folder, timesteps in zip(folders, partition, strict=True)
        ]
        search = base.search.model_dump(mode="json") | self.search
        return RunSpec(
            name="merge",
            model=base.model,
            data=base.data,
            detector=base.detector,
            seed=seed,
            decouple=DecoupleConfig(steps=0),
            experts=experts,
            search=parse_config(SearchConfig, search),
            evaluate=EvaluateConfig(reference=base.evaluate.reference, seeds=base.evaluate.seeds),
        )

    def phases(self, bench: Bench, seed: int, setting: Setting) -> list[list[Task]]:
        """The trainings, the averages, and the search."""
        spec = self.experts_run(bench, seed, setting)
        phases = training_phases(spec, len(_partition(bench, spec)), setting)
        return [*phases, [SearchTask(self.search_run(bench, seed, setting).model_dump_json())]]

    def contender(self, bench: Bench, seed: int, setting: Setting) -> Contender:
        """The merged pipeline."""
        spec = self.experts_run(bench, seed, setting)
        run = sibling(bench.context, self.search_run(bench, seed, setting))
        found = read_json(run.store.path / "search" / "result.json")
        trained = training_cost(bench, spec, len(_partition(bench, spec)))
        drawn = sum(int(entry["images"]) for entry in found["evaluations"])
        cost = Cost(trained.training_steps, trained.training_images, trained.training_flops, drawn)
        model = PipelineModel(run.store.path / "merged", run.store.digest_of("merged"))
        facts = {"weights": found["weights"], "candidates": len(found["evaluations"])}
        return Contender(model, cost, facts=facts)


def _partition(bench: Bench, spec: RunSpec) -> Partition:
    return spec.decouple.partition(bench.context.denoiser.schedule.num_timesteps)
