"""Writing a merge: the merged components, all else of the base as it is, and the recipe."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..files import atomic_path, sole_writer
from .export_loss import Loss
from .model_files import MAX_SHARD_BYTES, write_model
from .output_place import require_apart, require_form, require_output, require_space
from .planning import MergePlan
from .provenance import with_hashes
from .recipe import HASH_KEY, METADATA_KEY, RECIPE_FILE, MergeRecipe
from .streaming import set_metadata

HASH_ROOM = 256
"""Bytes for a hash and the words around it."""
PAGE = 4096

Progress = Callable[[int], None]


@dataclass(frozen=True)
class MergeResult:
    """What was written."""

    recipe: MergeRecipe
    """The recipe as stored: with the hashes of all inputs."""
    losses: Mapping[str, Loss]
    """What half precision lost, by component that is stored in it."""


def write_merge(
    plan: MergePlan,
    output: Path,
    *,
    origin: Path,
    overwrite: bool = False,
    workers: int | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    progress: Progress = lambda nbytes: None,
) -> MergeResult:
    """Writes the merged model and its recipe to ``output``, which appears when it is complete.

    Args:
        plan: the merge.
        output: the new folder, or file where the base is one.
        origin: the folder that the recipe's relative paths start from.
        overwrite: whether an output that exists is replaced.
        workers: threads; None takes one for each core.
        max_shard_bytes: files of weights are split from this size on.
        progress: told how many bytes were written, from several threads.

    Raises:
        ConfigError: the output exists.
        MismatchError: values that are not finite, or inputs that the recipe's hashes refuse.
        StorageError: not enough space, or no permission.

    """
    require_output(output, overwrite)
    require_form(plan.base, output)
    require_apart((plan.base, *plan.experts), plan.files, output)
    require_space(plan.bytes_written + plan.bytes_copied, output)
    in_file = plan.base.form == "file"
    home = output.absolute().parent if in_file else output.absolute()
    recipe = plan.recipe.seen_from(origin, home)
    merges = {name: merge.fresh() for name, merge in plan.merged.items()}
    with sole_writer(output), atomic_path(output) as partial:
        written = write_model(
            plan.base,
            merges,
            partial,
            metadata_room=_metadata_room(recipe, in_file),
            workers=workers,
            max_shard_bytes=max_shard_bytes,
            progress=progress,
        )
        recipe = with_hashes(recipe, plan.base, plan.experts, merges)
        metadata = {HASH_KEY: recipe.meaning()}
        if in_file:
            metadata[METADATA_KEY] = recipe.to_json()
        else:
            (partial / RECIPE_FILE).write_text(recipe.to_yaml(), "utf-8")
        for path in written:
            set_metadata(path, metadata)
    losses = {name: merge.loss.total() for name, merge in merges.items()}
    return MergeResult(recipe, {name: loss for name, loss in losses.items() if loss.changed})


def _metadata_room(recipe: MergeRecipe, in_file: bool) -> int:
    """Bytes for a hash; in a file also for its recipe, whose hashes and versions are yet to come.

    Rounded up, so that a somewhat longer path does not move the tensors.
    """
    if not in_file:
        return HASH_ROOM
    draft = len(json.dumps(recipe.to_json())) + HASH_ROOM * (len(recipe.models) + 2)
    return -(-draft // PAGE) * PAGE
