"""A whole model on its way to the disk: some components made anew, the others as the base's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from torch import Tensor

from .copying import (
    component_folder,
    copy_component,
    copy_other_files,
    has_variant,
    weights_stem,
)
from .sources.contract import ModelSource, Source, TensorInfo, WeightSource
from .streaming import OutputFiles, write_tensors

MAX_SHARD_BYTES = 10 * 10**9
"""``save_pretrained`` of diffusers splits at this size too."""


class MadeComponent(Protocol):
    """A component whose tensors are made when they are asked for."""

    @property
    def layout(self) -> Mapping[str, TensorInfo]:
        """What it will hold."""
        ...

    def produce(self, name: str) -> Iterator[Tensor]:
        """A tensor's elements in order, as flat pieces in the dtype of the layout."""
        ...

    def memory(self, name: str) -> int:
        """Bytes that making a tensor takes."""
        ...


class _Unchanged:
    """The base's own weights, as they are stored."""

    def __init__(self, source: WeightSource) -> None:
        self.source = source
        self.layout = source.layout

    def produce(self, name: str) -> Iterator[Tensor]:
        yield self.source.read(name).flatten()

    def memory(self, name: str) -> int:
        return 0


def write_model(
    base: ModelSource,
    made: Mapping[str, MadeComponent],
    partial: Path,
    *,
    metadata_room: int = 0,
    workers: int | None = None,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    progress: Callable[[int], None] = lambda nbytes: None,
) -> list[Path]:
    """Writes a folder or file like the base's.

    Args:
        base: whose form, configurations and other components it has.
        made: the components that are not the base's.
        partial: where it goes; nothing is there yet.
        metadata_room: see :func:`.streaming.write_tensors`.
        workers: threads.
        max_shard_bytes: files of weights are split from this size on.
        progress: told how many bytes were written, from several threads.

    Returns:
        The files of the components that were made.

    Raises:
        StorageError: no space, or no permission.

    """
    streamed = {**made, **_written_anew(base, made)}

    def write(files: OutputFiles, owners: Mapping[str, MadeComponent]) -> list[Path]:
        return write_tensors(
            files,
            lambda name: owners[name].produce(name),
            metadata_room=metadata_room,
            workers=workers,
            memory=lambda name: owners[name].memory(name),
            progress=progress,
        )

    if base.form == "file":
        owners = {name: part for part in streamed.values() for name in part.layout}
        layout = {name: owners[name].layout[name] for name in sorted(owners)}
        return write(OutputFiles(partial.parent, {partial.name: layout}, None), owners)
    partial.mkdir()
    copy_other_files(base, partial)
    written: list[Path] = []
    for name, part in streamed.items():
        home = component_folder(base, partial, name)
        home.mkdir(parents=True, exist_ok=True)
        stem = weights_stem(name, base.components.get(name))
        files = OutputFiles.plan(home, part.layout, stem=stem, max_shard_bytes=max_shard_bytes)
        paths = write(files, {tensor: part for tensor in part.layout})  # noqa: C420  # typed
        written += paths if name in made else []
    for name in base.components:
        if name not in streamed:
            copy_component(base, partial, name)
    return written


def _written_anew(base: ModelSource, made: Mapping[str, MadeComponent]) -> dict[str, _Unchanged]:
    """The base's components whose files cannot be copied: parts of one file, and variants.

    A variant's name goes into the names of all of a pipeline's files, and what is made has none.
    """

    def anew(source: Source) -> bool:
        return base.form == "file" or has_variant(source)

    return {
        name: _Unchanged(source)
        for name, source in base.components.items()
        if name not in made and isinstance(source, WeightSource) and anew(source)
    }
