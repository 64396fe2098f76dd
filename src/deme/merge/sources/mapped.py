"""Tensors that lie in files, mapped: opening reads headers, reading costs no memory of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ...errors import ModelError
from .contract import TensorInfo, WeightSource

LONGEST_NAME = 1000


@dataclass(frozen=True)
class MappedFile:
    """One file of tensors, open."""

    path: Path
    layout: Mapping[str, TensorInfo]
    """What there is."""
    read: Callable[[str], Tensor]
    """A tensor by its name, as a view of the mapped file; safe to call from several threads."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """What the file says beside the tensors."""


class MappedSource(WeightSource):
    """Named tensors in one or several mapped files.

    Args:
        holders: the file of each tensor, by the tensor's name.
        origin: where they come from, for messages.

    Raises:
        ModelError: a name that could not be shown or written (empty, very long, with line breaks
            or other control characters).

    """

    def __init__(self, holders: Mapping[str, MappedFile], origin: str) -> None:
        for name in holders:
            if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
                raise ModelError(
                    f"{origin} has a tensor named {name[:80]!r}, which is no name of a weight",
                    fix="give a file from a source that you trust",
                )
        self._holders = dict(sorted(holders.items()))
        self.origin = origin
        self.layout = {name: holder.layout[name] for name, holder in self._holders.items()}
        opened = {holder.path: holder for holder in holders.values()}
        self.files = tuple(sorted(opened))
        self.metadata = {
            key: value for path in self.files for key, value in opened[path].metadata.items()
        }

    def read(self, name: str) -> Tensor:
        """The tensor as it is stored: a view of the mapped file."""
        return self._holders[name].read(name).contiguous()

    def select(self, names: Iterable[str], origin: str | None = None) -> MappedSource:
        """Some of the tensors, under their own names."""
        return MappedSource({name: self._holders[name] for name in names}, origin or self.origin)
