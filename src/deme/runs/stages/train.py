"""Decouple: one expert per timestep range."""

from __future__ import annotations

from collections.abc import Sequence

from ...decouple import ExpertSpec, TimestepSampler, TrainingJob
from ...errors import ConfigError
from ...files import atomic_path, write_json
from ...merge import StateDict
from ..context import RunContext
from .joint import choose_joint, joint_rates, train_trial
from .training import train_to_folder


def train_experts(context: RunContext, only: Sequence[int] | None = None) -> bool:
    """Trains the experts, or takes those that exist already.

    Args:
        context: the run.
        only: indices of the experts to train; None: all.

    Raises:
        ConfigError: an index that is no expert's.

    """
    chosen = list(range(len(context.experts))) if only is None else list(only)
    return any(list(context.workers.map(train_one, chosen)))


def train_all(context: RunContext) -> bool:
    """Trains the experts and the joint comparison, side by side where there are workers.

    The joint trainings are the longest and come first.
    """
    tasks: list[int | float] = [*joint_rates(context), *range(len(context.experts))]
    worked = list(context.workers.map(train_one, tasks))
    return choose_joint(context) or any(worked)


def train_one(context: RunContext, task: int | float) -> bool:
    """Trains one model: the expert of an index (an int), or a joint trial at a rate (a float).

    Raises:
        ConfigError: an index that is no expert's.
    """
    if isinstance(task, float):
        return train_trial(context, task)
    if not 0 <= task < len(context.experts):
        raise ConfigError(
            f"There is no expert {task}",
            choices=[f"{i} ({e.timesteps})" for i, e in enumerate(context.experts)],
        )
    expert = context.experts[task]
    with context.store.lock(f"expert-{expert.name}"):
        if context.spec.experts is not None:
            return _take_external(context, task)
        return _train(context, expert, task)


def _train(context: RunContext, expert: ExpertSpec, index: int) -> bool:
    config = context.spec.decouple
    made_from = {
        "base": context.base_digest,
        "data": context.source.digest,
        "augmentation": _augmentation(context),
        "decouple": config.model_dump(mode="json"),
        "range": [expert.timesteps.low, expert.timesteps.high],
        "seed": context.spec.seed,
    }
    title = f"expert {index + 1}/{len(context.experts)} {expert.timesteps}"
    artifact = f"experts/{expert.name}"
    return train_to_folder(context, expert_job(context, expert), artifact, made_from, title)


def expert_job(context: RunContext, expert: ExpertSpec) -> TrainingJob:
    """What an expert's training is told."""
    config = context.spec.decouple
    steps = context.denoiser.schedule.num_timesteps
    return TrainingJob(
        name=expert.name,
        pretrained=context.denoiser,
        source=context.source,
        timesteps=TimestepSampler(
            expert.timesteps, steps, config.p, config.draw_per, config.antithetic
        ),
        config=config,
        # the base already carries identity projections where they stay in the model
        placement="none" if config.projection == "block" else config.projection,
        teacher=context.teacher,
        consistency=config.consistency,
        seed=context.spec.seed,
    )


def _take_external(context: RunContext, index: int) -> bool:
    """Writes an expert from elsewhere as a pipeline, whatever it was kept as."""
    expert = context.experts[index]
    denoiser = context.external_denoiser(index)
    weights = StateDict(denoiser.weights(), expert.name)
    timesteps = [expert.timesteps.low, expert.timesteps.high]
    made_from = {
        "base": context.base_digest,
        "external": weights.digest(),
        "timesteps": timesteps,
    }
    artifact = f"experts/{expert.name}"
    if context.store.is_complete(artifact, made_from):
        return False
    with atomic_path(context.store.path / artifact) as partial:
        partial.mkdir()
        denoiser.save(partial)
        write_json(
            partial / "training.json", {"name": expert.name, "timesteps": timesteps, "losses": []}
        )
    context.store.complete(artifact, made_from)
    return True


def _augmentation(context: RunContext) -> dict[str, bool]:
    data = context.spec.data
    return {"random_flip": data.random_flip, "center_crop": data.center_crop}
