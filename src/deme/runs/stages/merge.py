"""Merge: the stock pipeline with the weights that the search found."""

from __future__ import annotations

from pathlib import Path

from ...files import atomic_path, read_json
from ...merge.planning import plan_merge
from ...merge.recipe import MergeRecipe, MergeSource, relocated
from ...merge.writing import write_merge
from ..context import RunContext


def write_merged(context: RunContext) -> bool:
    """Writes ``merged/``: a normal diffusers pipeline and the recipe that repeats it."""
    weights = read_json(context.store.path / "search" / "result.json")["weights"]
    experts = [context.store.digest_of(f"experts/{e.name}") for e in context.experts]
    made_from = {"base": context.base_digest, "experts": experts, "weights": weights}
    if context.store.is_complete("merged", made_from):
        return False
    merged = context.store.path / "merged"
    model = context.spec.model
    recipe = MergeRecipe(
        base_model=_base_on_disk(context, merged),
        base_revision=model.revision,
        base_variant=model.variant,
        models=[
            MergeSource(
                model=f"../experts/{expert.name}",
                min_timestep=expert.timesteps.low,
                max_timestep=expert.timesteps.high,
                parameters={"weight": weight},
            )
            for expert, weight in zip(context.experts, weights, strict=True)
        ],
    )
    write_merge(plan_merge(recipe, merged), merged, origin=merged, overwrite=True)
    context.store.complete("merged", made_from)
    return True


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
