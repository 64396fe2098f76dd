"""Writing a merge: the merged components, all else of the base as it is, and the recipe."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, StorageError
from ..files import atomic_path, free_bytes, sole_writer
from .export_loss import Loss
from .model_files import MAX_SHARD_BYTES, write_model
from .planning import MergePlan, require_hash
from .recipe import HASH_KEY, METADATA_KEY, RECIPE_FILE, MergeRecipe
from .sources.contract import ModelSource, WeightSource
from .sources.digest import combine_digests, digest_source
from .streaming import set_metadata

DISK_MARGIN = 2**20
METADATA_ROOM = 256
"""Bytes for the recipe's hash, and for the words around it and the recipe."""
UNKNOWN_HASH = "xxh3-128:" + 32 * "0"

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
    _require_place(plan, output, overwrite)
    in_file = plan.base.form == "file"
    home = output.absolute().parent if in_file else output.absolute()
    recipe = plan.recipe.seen_from(origin, home)
    with sole_writer(output), atomic_path(output) as partial:
        return _Writer(plan, recipe, partial).write(
            workers=workers, max_shard_bytes=max_shard_bytes, progress=progress
        )


def _require_place(plan: MergePlan, output: Path, overwrite: bool) -> None:
    if output.exists():
        _require_replaceable(output, overwrite)
        _require_apart(plan, output)
    if plan.base.form == "file" and output.suffix != ".safetensors":
        raise ConfigError(
            f"{plan.base.origin} is one file, so the merged model is one too, and --output "
            f"{output} names none",
            fix=f"--output {output}.safetensors",
        )
    copied = sum(
        info.nbytes for name in plan.copied for info in plan.base.components[name].layout.values()
    )
    needed, free = plan.bytes_written + copied + DISK_MARGIN, free_bytes(output.absolute())
    if needed > free:
        raise StorageError(
            f"The merged model takes {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free at "
            f"{output.absolute().parent}",
            fix="choose another --output, free space, or store it smaller with --dtype float16",
        )


def _require_replaceable(output: Path, overwrite: bool) -> None:
    """What is replaced must be a merge: a folder of anything else is not ours to remove."""
    is_merge = output.is_file() or (output / RECIPE_FILE).is_file() or not any(output.iterdir())
    if not is_merge:
        raise ConfigError(
            f"{output} exists and is no merge: it has no {RECIPE_FILE}",
            fix="choose another --output, or remove it",
        )
    if not overwrite:
        raise ConfigError(f"{output} exists", fix="choose another --output, or add --overwrite")


def _require_apart(plan: MergePlan, output: Path) -> None:
    """What is replaced must not be what is read."""
    for model in (plan.base, *plan.experts):
        for source in model.components.values():
            for file in source.files:
                if file.resolve().is_relative_to(output.resolve()):
                    raise ConfigError(
                        f"--output {output} holds {model.origin}, which the merge reads",
                        fix="choose another --output",
                    )


class _Writer:
    """One merge on its way to the disk."""

    def __init__(self, plan: MergePlan, recipe: MergeRecipe, partial: Path) -> None:
        self.plan, self.recipe, self.partial = plan, recipe, partial

    def write(self, **options: Any) -> MergeResult:
        """Writes all of it; ``options`` are :func:`.model_files.write_model`'s."""
        in_file = self.plan.base.form == "file"
        draft = self._with_hashes(UNKNOWN_HASH, [UNKNOWN_HASH] * len(self.plan.experts))
        room = len(json.dumps(draft.to_json())) if in_file else 0
        written = write_model(
            self.plan.base,
            self.plan.merged,
            self.partial,
            metadata_room=room + METADATA_ROOM,
            **options,
        )
        result = self._result()
        metadata = {HASH_KEY: result.recipe.meaning()}
        if in_file:
            metadata[METADATA_KEY] = result.recipe.to_json()
        else:
            (self.partial / RECIPE_FILE).write_text(result.recipe.to_yaml(), "utf-8")
        for path in written:
            set_metadata(path, metadata)
        return result

    def _result(self) -> MergeResult:
        experts = [self._expert_hash(i, model) for i, model in enumerate(self.plan.experts)]
        base = combine_digests(
            {
                name: self.plan.merged[name].base_digests.combined(source.layout)
                if name in self.plan.merged
                else digest_source(source)
                for name, source in self.plan.base.components.items()
            }
        )
        recipe = self.recipe
        require_hash(recipe.base_model, recipe.base_hash, base)
        for source, found in zip(recipe.models, experts, strict=True):
            require_hash(source.model, source.hash, found)
        losses = {
            name: merge.loss.total()
            for name, merge in self.plan.merged.items()
            if recipe.dtype != "float32" and merge.loss.total().changed
        }
        return MergeResult(self._with_hashes(base, experts), losses)

    def _expert_hash(self, index: int, model: ModelSource) -> str:
        found: dict[str, str] = {}
        for name, source in model.components.items():
            merge = self.plan.merged.get(name)
            if merge is not None and isinstance(merge.experts[index], WeightSource):
                found[name] = merge.expert_digests[index].combined(source.layout)
            else:  # it equals the base's, or is an adapter's small files
                found[name] = digest_source(source)
        return combine_digests(found)

    def _with_hashes(self, base: str, experts: list[str]) -> MergeRecipe:
        versions = {name: importlib.metadata.version(name) for name in ("deme", "torch")}
        models = [
            model.model_copy(update={"hash": found})
            for model, found in zip(self.recipe.models, experts, strict=True)
        ]
        changes = {"base_hash": base, "models": models, "versions": versions}
        return self.recipe.model_copy(update=changes)
