"""The expert's own weights again: a folder as its trainer wrote it, from base and file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor

from ...errors import ConfigError
from ...files import atomic_path
from ..copying import component_folder, copy_component, copy_other_files, weights_stem
from ..sources.contract import ModelSource, WeightSource
from ..streaming import OutputFiles, write_tensors
from .component import CompressedComponent
from .opening import open_for_base

MAX_SHARD_BYTES = 10 * 10**9
"""As ``save_pretrained`` has it."""


def expand_expert(
    base: ModelSource,
    compressed: Path,
    output: Path,
    *,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda nbytes: None,
) -> None:
    """Writes a compressed expert as a model of its own.

    What is not weights, and the components that the expert did not change, are the base's. In
    exact mode every bit of the expert's tensors comes back; else they are off by the stated error.

    Args:
        base: the model that the expert was compressed against: a pipeline or a component's folder.
        compressed: the file.
        output: the new folder; it must not exist.
        workers: threads.
        progress: told how many bytes were written, from several threads.

    Raises:
        ConfigError: the output exists, or the base is a single file.
        MismatchError: another base than it was compressed against.
        StorageError: a file is damaged, or the output cannot be written.

    """
    if output.exists():
        raise ConfigError(f"{output} exists", fix="choose another --output, or remove it")
    if base.folder is None:
        raise ConfigError(
            f"{base.origin} is one file, and an expert is written as a folder",
            fix="give the base as a pipeline or component folder",
        )
    parts = open_for_base(compressed, base).components
    with atomic_path(output) as partial:
        partial.mkdir()
        copy_other_files(base, partial)
        for name, source in sorted(base.components.items()):
            part = parts.get(name)
            if not isinstance(part, CompressedComponent) or not isinstance(source, WeightSource):
                copy_component(base, partial, name)
                continue
            home = component_folder(base, partial, name)
            home.mkdir(parents=True, exist_ok=True)
            files = OutputFiles.plan(
                home,
                part.stored,
                stem=weights_stem(name, source),
                max_shard_bytes=MAX_SHARD_BYTES,
            )
            write_tensors(
                files,
                _producer(part, source),
                workers=workers,
                memory=lambda name, part=part: 4 * part.stored[name].nbytes,
                progress=progress,
            )


def _producer(part: CompressedComponent, source: WeightSource) -> Callable[[str], Iterator[Tensor]]:
    def produce(name: str) -> Iterator[Tensor]:
        yield part.restore(name, source.read(name)).flatten()

    return produce
