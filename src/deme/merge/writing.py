"""Writing a merge: the merged components, all else of the base as it is, and the recipe."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError, StorageError
from ..files import atomic_path, free_bytes, sole_writer
from .component_merge import ComponentMerge
from .copying import (
    component_folder,
    copy_component,
    copy_other_files,
    has_variant,
    weights_stem,
)
from .export_loss import Loss
from .planning import MergePlan, require_hash
from .recipe import HASH_KEY, METADATA_KEY, RECIPE_FILE, MergeRecipe
from .sources.contract import ModelSource, WeightSource
from .sources.digest import combine_digests, digest_source
from .streaming import OutputFiles, set_metadata, write_tensors

MAX_SHARD_BYTES = 10 * 10**9
"""``save_pretrained`` of diffusers splits at this size too."""
DISK_MARGIN = 2**20
METADATA_ROOM = 256
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
        writer = _Writer(plan, recipe, partial, workers, progress)
        return writer.write_file() if in_file else writer.write_folder(max_shard_bytes)


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

    def __init__(
        self,
        plan: MergePlan,
        recipe: MergeRecipe,
        partial: Path,
        workers: int | None,
        progress: Progress,
    ) -> None:
        self.plan, self.recipe, self.partial = plan, recipe, partial
        self.workers, self.progress = workers, progress
        self.streamed = {**plan.merged, **self._restored()}

    def _restored(self) -> dict[str, ComponentMerge]:
        """Unchanged components that are written anew: all of a file's, or a variant's.

        A variant's name goes into the names of all of a pipeline's files, and the merged
        components have none.
        """
        in_file = self.plan.base.form == "file"
        sources = {name: self.plan.base.components[name] for name in self.plan.copied}
        method = next(iter(self.plan.merged.values())).method
        nobody = [None] * len(self.plan.experts)
        return {
            name: ComponentMerge(name, source, nobody, method, dtype=None)
            for name, source in sources.items()
            if isinstance(source, WeightSource) and (in_file or has_variant(source))
        }

    def write_folder(self, max_shard_bytes: int) -> MergeResult:
        """A pipeline, or one component with its configuration."""
        self.partial.mkdir()
        copy_other_files(self.plan.base, self.partial)
        written: list[Path] = []
        for name, merge in self.streamed.items():
            home = component_folder(self.plan.base, self.partial, name)
            home.mkdir(parents=True, exist_ok=True)
            stem = weights_stem(name, merge.base)
            files = OutputFiles.plan(home, merge.layout, stem=stem, max_shard_bytes=max_shard_bytes)
            written += self._write(files, dict.fromkeys(merge.layout, merge), METADATA_ROOM)
        for name in self.plan.copied:
            if name not in self.streamed:
                copy_component(self.plan.base, self.partial, name)
        result = self._result()
        for path in written:
            set_metadata(path, {HASH_KEY: result.recipe.meaning()})
        (self.partial / RECIPE_FILE).write_text(result.recipe.to_yaml(), "utf-8")
        return result

    def write_file(self) -> MergeResult:
        """One file under the base's own names, its recipe in its metadata."""
        owners = {name: merge for merge in self.streamed.values() for name in merge.layout}
        layout = {name: owners[name].layout[name] for name in sorted(owners)}
        files = OutputFiles(self.partial.parent, {self.partial.name: layout}, None)
        draft = self._with_hashes(UNKNOWN_HASH, [UNKNOWN_HASH] * len(self.plan.experts))
        room = len(json.dumps({METADATA_KEY: draft.to_json()})) + METADATA_ROOM
        self._write(files, owners, room)
        recipe = self._result().recipe
        set_metadata(self.partial, {HASH_KEY: recipe.meaning(), METADATA_KEY: recipe.to_json()})
        return self._result()

    def _write(
        self, files: OutputFiles, owners: Mapping[str, ComponentMerge], room: int
    ) -> list[Path]:
        return write_tensors(
            files,
            lambda name: owners[name].produce(name),
            metadata_room=room,
            workers=self.workers,
            memory=lambda name: owners[name].memory(name),
            progress=self.progress,
        )

    def _result(self) -> MergeResult:
        experts = [self._expert_hash(i, model) for i, model in enumerate(self.plan.experts)]
        base = combine_digests(
            {
                name: self.streamed[name].base_digests.combined(source.layout)
                if name in self.streamed
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
