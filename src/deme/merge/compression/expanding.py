"""The expert's own weights again: a model as its trainer wrote it, from base and file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from torch import Tensor

from ...errors import ConfigError
from ...files import atomic_path, sole_writer
from ..model_files import MadeComponent, write_model
from ..sources.contract import ModelSource, WeightSource
from .component import CompressedComponent
from .opening import open_for_base


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
        base: the model that the expert was compressed against.
        compressed: the file.
        output: the new folder, or file where the base is one; it must not exist.
        workers: threads.
        progress: told how many bytes were written, from several threads.

    Raises:
        ConfigError: the output exists.
        MismatchError: another base than it was compressed against.
        StorageError: a file is damaged, or the output cannot be written.

    """
    if output.exists():
        raise ConfigError(f"{output} exists", fix="choose another --output, or remove it")
    made: dict[str, MadeComponent] = {}
    for name, part in open_for_base(compressed, base).components.items():
        source = base.components[name]
        if isinstance(part, CompressedComponent) and isinstance(source, WeightSource):
            made[name] = _Restored(part, source)
    with sole_writer(output), atomic_path(output) as partial:
        write_model(base, made, partial, workers=workers, progress=progress)


class _Restored:
    """One component of the expert."""

    def __init__(self, part: CompressedComponent, base: WeightSource) -> None:
        self.part, self.base = part, base
        self.layout = part.stored

    def produce(self, name: str) -> Iterator[Tensor]:
        yield self.part.restore(name, self.base.read(name)).flatten()

    def memory(self, name: str) -> int:
        return 4 * self.layout[name].nbytes
