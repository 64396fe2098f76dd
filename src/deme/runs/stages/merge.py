"""Merge: the stock pipeline with the weights that the search found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from ...files import atomic_path, read_json
from ...merge.planning import plan_merge
from ...merge.recipe import MergeRecipe, MergeSource, relocated
from ...merge.writing import write_merge
from ...search import Snapshot
from ..context import RunContext
from .search_bench import expert_snapshots, search_space
from .statistics import measure_experts, statistics_artifact, statistics_from, statistics_kind


def write_merged(context: RunContext) -> bool:
    """Writes ``merged/``: a normal diffusers pipeline and the recipe that repeats it."""
    found = read_json(context.store.path / "search" / "result.json")
    point = search_space(context).at(tuple(found["point"]))
    experts = [context.store.digest_of(f"experts/{e.name}") for e in context.experts]
    made_from = {"base": context.base_digest, "experts": experts, "point": found["point"]}
    made_from["method"] = context.spec.search.merge_method
    made_from |= statistics_from(context)
    if context.store.is_complete("merged", made_from):
        return False
    merged = context.store.path / "merged"
    folder = "experts"
    if point.snapshots:
        folder = "chosen"
        _write_snapshots(context, point.snapshots)
    model = context.spec.model
    measure_experts(context)  # the search's; collected again where they were lost or altered
    kind = statistics_kind(context)
    recipe = MergeRecipe(
        merge_method=context.spec.search.merge_method,
        parameters=dict(point.parameters),
        base_model=_base_on_disk(context, merged),
        base_revision=model.revision,
        base_variant=model.variant,
        models=[
            MergeSource(
                model=f"../{folder}/{expert.name}",
                min_timestep=expert.timesteps.low,
                max_timestep=expert.timesteps.high,
                parameters={"weight": weight},
                statistics=kind and f"../{statistics_artifact(kind, expert.name)}",
            )
            for expert, weight in zip(context.experts, point.weights, strict=True)
        ],
    )
    write_merge(plan_merge(recipe, merged), merged, origin=merged, overwrite=True)
    context.store.complete("merged", made_from)
    return True


def _write_snapshots(context: RunContext, chosen: Sequence[Snapshot]) -> None:
    """The experts as the search chose them, ``chosen/<name>``: pipelines like ``experts/``."""
    for index, (step, width) in enumerate(chosen):
        expert = context.experts[index]
        weights = expert_snapshots(context, index).reconstruct(step, width, tolerance=math.inf)
        denoiser = context.denoiser.clone()
        denoiser.load_weights(weights)
        with atomic_path(context.store.path / "chosen" / expert.name) as partial:
            partial.mkdir()
            denoiser.save(partial)


def _base_on_disk(context: RunContext, merged: Path) -> str:
    """The base as seen from the merged folder; random weights are kept with the run first."""
    if not context.spec.model.random_weights:
        return relocated(context.spec.model.path, Path(), merged)
    folder = context.store.path / "base"
    if not folder.is_dir():
        with atomic_path(folder) as partial:
            partial.mkdir()
            context.denoiser.save(partial)
    return "../base"
