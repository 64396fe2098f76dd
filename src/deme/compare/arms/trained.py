"""What arms that train have in common: the tasks of a run's experts, and the models they become."""

from __future__ import annotations

from pathlib import Path

from ...runs.context import RunContext
from ...runs.spec import RunSpec
from ..contender import Cost, Setting
from ..models import PipelineModel
from ..tasks import AverageTask, Task, TrainTask, average_artifact, sibling
from .contract import Bench


def training_phases(spec: RunSpec, experts: int, setting: Setting) -> list[list[Task]]:
    """The trainings of a run's experts, then their other averages where one is wanted."""
    text = spec.model_dump_json()
    phases: list[list[Task]] = [[TrainTask(text, index) for index in range(experts)]]
    if setting.average is not None:
        phases.append([AverageTask(text, index, setting.average) for index in range(experts)])
    return phases


def expert_folders(bench: Bench, spec: RunSpec, setting: Setting) -> tuple[Path, ...]:
    """Where the experts of a run are, or will be, at the setting's average."""
    run = sibling(bench.context, spec)
    return tuple(run.store.path / name for name in _artifacts(run, setting.average))


def expert_models(bench: Bench, spec: RunSpec, setting: Setting) -> tuple[PipelineModel, ...]:
    """The finished experts of a run, at the setting's average."""
    return finished_experts(sibling(bench.context, spec), setting.average)


def finished_experts(run: RunContext, average: float | None) -> tuple[PipelineModel, ...]:
    """The same for a run that is open, in whichever process."""
    return tuple(
        PipelineModel(run.store.path / name, run.store.digest_of(name))
        for name in _artifacts(run, average)
    )


def _artifacts(run: RunContext, average: float | None) -> list[str]:
    if average is None:
        return [f"experts/{expert.name}" for expert in run.experts]
    return [average_artifact(expert.name, average) for expert in run.experts]


def training_cost(bench: Bench, spec: RunSpec, experts: int) -> Cost:
    """What the trainings of a run's experts took, all together."""
    config = spec.decouple
    steps = config.steps * experts
    flops = bench.flops_per_step(spec)
    return Cost(
        training_steps=steps,
        training_images=steps * config.batch_size * config.gradient_accumulation_steps,
        training_flops=None if flops is None else steps * flops,
    )
