"""Trying a merge without saving it: the merged weights go straight into a network in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ..denoisers import Denoiser
from ..denoisers.contract import PROJECTIONS
from ..errors import ConfigError, MismatchError
from .apply import InPlaceMerger
from .bound_method import WEIGHT
from .planning import MergePlan, plan_merge
from .recipe import MergeRecipe, MergeSource
from .settings import Setting
from .sources.names import match_names
from .state_dict import StateDict
from .task_vector import TaskVector

ModelPath = str | Path


def merge(
    base: ModelPath,
    experts: Sequence[ModelPath],
    weights: Sequence[Setting] | None = None,
    *,
    method: str = "task_arithmetic",
    parameters: Mapping[str, Setting] | None = None,
    seed: int = 0,
) -> Denoiser:
    """The merged denoiser, in memory; nothing is written.

    Args:
        base: the pretrained pipeline: a folder, a hub id, or ``digits``.
        experts: pipelines, components, weights files or LoRAs; folders, files or hub ids.
        weights: one for each expert, of any sign: a number, a gradient over depth, or rules by
            block and layer kind; none given: 1/N each.
        method: name of a registered merge method.
        parameters: what the method takes beside.
        seed: for methods that draw.

    Raises:
        ConfigError: unknown method or parameter, or a wrong number of weights.
        ModelError: something that is not a model.
        MismatchError: an expert of another architecture, or one that changed another component
            than the denoising network.

    """
    plan = _plan(base, experts, weights, method, parameters, seed)
    denoiser = _open(base)
    own = _network_merges(plan, denoiser)
    weights_of: dict[str, torch.Tensor] = {}
    for component in own:
        merged = plan.merged[component]
        weights_of.update({name: merged.tensor(name) for name in merged.layout})
    denoiser.load_weights({**denoiser.weights(), **_as_network(denoiser, weights_of)})
    return denoiser


def open_merger(base: ModelPath, experts: Sequence[ModelPath]) -> InPlaceMerger:
    """A denoiser that switches among merges of these experts in milliseconds.

    ``open_merger(base, experts)([0.1, 0.3])`` is what :func:`merge` gives for these weights; each
    further call changes the same network in place. Base and task vectors stay in memory.

    Args:
        base: the pretrained pipeline.
        experts: what :func:`merge` takes.

    Raises:
        ModelError: something that is not a model.
        MismatchError: an expert of another architecture.

    """
    plan = _plan(base, experts, None, "task_arithmetic", None, 0)
    denoiser = _open(base)
    own = _network_merges(plan, denoiser)
    theta = StateDict({n: t.clone() for n, t in denoiser.weights().items()}, denoiser.name)
    vectors = []
    for index, expert in enumerate(plan.experts):
        deltas = {name: torch.zeros_like(tensor) for name, tensor in theta.items()}
        for component in own:
            changed = plan.merged[component].deltas_of(index)
            deltas.update(_as_network(denoiser, changed))
        vectors.append(TaskVector(deltas, expert.origin))
    return InPlaceMerger(denoiser, theta, vectors)


def _open(base: ModelPath) -> Denoiser:
    from ..decouple import open_pipeline  # training's libraries take seconds to import

    return open_pipeline(base)


def _as_network(denoiser: Denoiser, tensors: Mapping[str, torch.Tensor]) -> StateDict:
    """Tensors of the base's file under the names and shapes that its network has in memory.

    Files from older versions of diffusers have other names, which it changes when it loads them.
    """
    own = denoiser.weights()
    names = match_names(own, tensors)
    found = {name: tensors[theirs].reshape(own[name].shape) for name, theirs in names.items()}
    return StateDict(found, denoiser.name)


def _plan(
    base: ModelPath,
    experts: Sequence[ModelPath],
    weights: Sequence[Setting] | None,
    method: str,
    parameters: Mapping[str, Setting] | None,
    seed: int,
) -> MergePlan:
    if isinstance(experts, str | Path) or not experts:
        raise ConfigError(
            f"experts is {experts!r}", fix="give a list of at least one path: merge(base, [expert])"
        )
    if weights is not None and len(weights) != len(experts):
        raise ConfigError(f"{len(experts)} experts need {len(experts)} weights, not {len(weights)}")
    given = [{} for _ in experts] if weights is None else [{WEIGHT: value} for value in weights]
    recipe = MergeRecipe(
        merge_method=method,
        base_model=str(base),
        models=[
            MergeSource(model=str(path), parameters=settings)
            for path, settings in zip(experts, given, strict=True)
        ],
        parameters=dict(parameters or {}),
        seed=seed,
    )
    return plan_merge(recipe, Path())


def _network_merges(plan: MergePlan, denoiser: Denoiser) -> list[str]:
    """The components that are parts of the network; projections are attached where kept."""
    own = {denoiser.component, PROJECTIONS}
    others = [name for name in plan.merged if name not in own]
    if others:
        raise MismatchError(
            f"The experts also change {', '.join(others)}, which is no part of the denoiser",
            fix="write the merged pipeline with deme merge, and load it",
        )
    if PROJECTIONS in plan.merged and not any(
        name.startswith(PROJECTIONS) for name in denoiser.weights()
    ):
        from ..decouple import attach_projections

        attach_projections(denoiser, "block")
    return list(plan.merged)
