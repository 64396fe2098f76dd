"""Decouple: one expert per timestep range."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from ...decouple import ExpertSpec, TimestepRange, TimestepSampler, TrainingJob
from ...decouple.tree import TreeNode, expert_tree, path_to
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
    tasks = [*_nodes_above(context, chosen), *chosen]
    return any(list(context.workers.map(train_one, tasks)))


def train_all(context: RunContext) -> bool:
    """Trains the experts and the joint comparison, side by side where there are workers.

    The joint trainings are the longest and come first.
    """
    experts = range(len(context.experts))
    tasks = [*joint_rates(context), *_nodes_above(context, experts), *experts]
    worked = list(context.workers.map(train_one, tasks))
    return choose_joint(context) or any(worked)


def train_one(context: RunContext, task: int | float | TreeNode, *, wait: bool = False) -> bool:
    """Trains one model: an expert by its index (an int), a joint trial by its rate (a float).

    What a model of a tree starts from is trained before it, or waited for where another process
    is at it: a task is all that it takes to make its model.

    Args:
        context: the run.
        task: what to train.
        wait: for another process that trains this very expert, and do not refuse.

    Raises:
        ConfigError: an index that is no expert's.
        RunLockedError: another process trains it.

    """
    if isinstance(task, float):
        return train_trial(context, task)
    if isinstance(task, TreeNode):
        return _train_branch(context, task, wait=wait)
    if not 0 <= task < len(context.experts):
        raise ConfigError(
            f"There is no expert {task}",
            choices=[f"{i} ({e.timesteps})" for i, e in enumerate(context.experts)],
        )
    expert = context.experts[task]
    if context.spec.decouple.tree and context.spec.experts is None:
        leaf = next(n for n in _tree(context) if n.leaf == task)
        return _train_branch(context, leaf, wait=wait)
    with _alone(context, f"expert-{expert.name}", wait=wait):
        if context.spec.experts is not None:
            return _take_external(context, task)
        title = f"expert {task + 1}/{len(context.experts)} {expert.timesteps}"
        made_from = _made_from(context, expert.timesteps)
        job = expert_job(context, expert)
        return train_to_folder(context, job, f"experts/{expert.name}", made_from, title)


@contextlib.contextmanager
def _alone(context: RunContext, name: str, *, wait: bool = False) -> Iterator[None]:
    """Holds the lock of a training; of several launched processes the main one, for them all."""
    main = context.accelerator.is_main_process
    with context.store.lock(name, wait=wait) if main else contextlib.nullcontext():
        context.accelerator.wait_for_everyone()
        yield


def _made_from(context: RunContext, timesteps: TimestepRange) -> dict[str, object]:
    return {
        "base": context.base_digest,
        "data": context.source.digest,
        "augmentation": _augmentation(context),
        "decouple": context.spec.decouple.model_dump(mode="json"),
        "range": [timesteps.low, timesteps.high],
        "seed": context.spec.seed,
    }


def _tree(context: RunContext) -> tuple[TreeNode, ...]:
    return expert_tree(context.partition, context.spec.decouple.steps)


def _nodes_above(context: RunContext, experts: Sequence[int]) -> list[TreeNode]:
    """What must be trained before these experts, level by level; nothing without a tree."""
    if not context.spec.decouple.tree or context.spec.experts is not None:
        return []
    tree = _tree(context)
    needed = {n for leaf in tree if leaf.leaf in experts for n in path_to(tree, leaf)}
    return [node for node in tree if node.leaf is None and node in needed]


def _train_branch(context: RunContext, node: TreeNode, *, wait: bool) -> bool:
    """Trains a model of the tree, after those that it comes from."""
    parent: str | None = None
    worked = False
    for member in path_to(_tree(context), node):
        with _alone(context, f"expert-{member.name}", wait=wait or member.leaf is None):
            worked |= _train_node(context, member, parent)
        parent = _node_artifact(member)
    return worked


def _train_node(context: RunContext, node: TreeNode, parent: str | None) -> bool:
    artifact = _node_artifact(node)
    made_from = {**_made_from(context, node.timesteps), "steps": node.steps}
    if parent is not None:
        made_from["parent"] = context.store.digest_of(parent)
    if context.store.is_complete(artifact, made_from):
        return False
    changes = {"steps": node.steps} | ({} if node.leaf is not None else {"snapshots": 0})
    job = dataclasses.replace(
        expert_job(context, ExpertSpec(node.name, node.timesteps)),
        config=context.spec.decouple.model_copy(update=changes),
        start=None if parent is None else context.load_pipeline(context.store.path / parent),
    )
    return train_to_folder(context, job, artifact, made_from, f"tree {node.timesteps}")


def _node_artifact(node: TreeNode) -> str:
    return f"{'experts-tree' if node.leaf is None else 'experts'}/{node.name}"


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
