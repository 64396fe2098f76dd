"""Merge: the stock pipeline with the weights that the search found."""

from __future__ import annotations

import yaml

from ...files import atomic_path, read_json
from ...merge import MergeRecipe, merge_weights
from ...merge.recipe import MergeSource
from ..context import RunContext


def write_merged(context: RunContext) -> bool:
    """Writes ``merged/``: a normal diffusers pipeline and the recipe that repeats it."""
    weights = read_json(context.store.path / "search" / "result.json")["weights"]
    experts = [context.store.digest_of(f"experts/{e.name}") for e in context.experts]
    made_from = {"base": context.base_digest, "experts": experts, "weights": weights}
    if context.store.is_complete("merged", made_from):
        return False
    recipe = MergeRecipe(
        base_model=context.spec.model.path,
        base_sha256=context.base_digest,
        models=[
            MergeSource(
                model=expert.name,
                min_timestep=expert.timesteps.low,
                max_timestep=expert.timesteps.high,
                weight=weight,
                sha256=digest,
            )
            for expert, weight, digest in zip(context.experts, weights, experts, strict=True)
        ],
    )
    denoiser = context.denoiser.clone()
    denoiser.load_weights(merge_weights(context.base, context.task_vectors, weights))
    with atomic_path(context.store.path / "merged") as partial:
        partial.mkdir()
        denoiser.save(partial)
        text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
        (partial / "recipe.yaml").write_text(text, "utf-8")
    context.store.complete("merged", made_from)
    return True
