"""Features of candidates' images on disk: drawn once, read when wanted, extended when promoted."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import StorageError
from ..files import atomic_path, hash_value, remove, sweep_partial
from .evaluation import Tables
from .space import DIGITS, Candidate

Draw = Callable[[range], Tables]
"""Draws the images of these indices and measures them: each table has a row for each index."""
SUFFIX = ".safetensors"
METADATA = "deme"


def rounded(candidate: Sequence[float]) -> Candidate:
    """The candidate as it is named and compared: :data:`~deme.search.space.DIGITS` decimals."""
    return tuple(round(float(number), DIGITS) + 0.0 for number in candidate)


class SetStore:
    """One safetensors file per candidate: its tables, whose rows are images of the common noise.

    Image ``n`` of a candidate is the same whenever it is drawn, so a set of 500 that is wanted
    with 2 000 images is drawn from 500 on. A file is complete or absent; workers write files of
    different candidates side by side.

    Args:
        folder: where the files are; made when first needed.
        key: what decides the features besides the candidate; a set of another key is no set.
        whole: tables whose rows are not images (``loss``): written once and never extended.
        protocol: how the features were made, for whoever finds the file.

    """

    def __init__(
        self,
        folder: Path,
        key: str,
        *,
        whole: Sequence[str] = (),
        protocol: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self.key = key
        self.whole = frozenset(whole)
        self.protocol = dict(protocol or {})

    def path(self, candidate: Candidate) -> Path:
        """Where a candidate's set is or would be."""
        name = hash_value(rounded(candidate))[:16]
        return self.folder / f"{name}{SUFFIX}"

    def prepare(self) -> None:
        """Removes sets of another key, damaged ones and what killed processes left half-written.

        Only for the process that alone has the folder: workers must not have started.

        Raises:
            StorageError: the folder cannot be changed.

        """
        if not self.folder.is_dir():
            return
        sweep_partial(self.folder)
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            if _metadata(path).get("key") != self.key:
                remove(path)

    def have(self, candidate: Candidate) -> int:
        """How many images of this candidate are kept; 0 where there is no set."""
        metadata = _metadata(self.path(candidate))
        ours = metadata.get("key") == self.key
        return metadata["images"] if ours and metadata["candidate"] == [*rounded(candidate)] else 0

    def read(self, candidate: Candidate, images: int | None = None) -> Tables:
        """A candidate's tables, each loaded upon access and not kept in memory.

        Args:
            candidate: whose set.
            images: only rows of the first so many images; None: all that are kept.

        Raises:
            StorageError: upon access, where the file has gone.

        """
        return StoredTables(self.path(candidate), images, self.whole)

    def complete(self, candidate: Candidate, images: int, draw: Draw) -> Tables:
        """The tables of the first ``images`` images, drawing only those that are missing.

        Args:
            candidate: whose set.
            images: how many.
            draw: called with the missing range, if there is one. Tables that are ``whole`` are
                taken from it only where the range starts at 0.

        Raises:
            StorageError: the set cannot be written.
            ValueError: ``draw`` gave other tables or rows than it was asked for.

        """
        had = self.have(candidate)
        if had < images:
            drawn = dict(draw(range(had, images)))
            if had:
                drawn = self._extended(candidate, drawn)
            self._write(candidate, images, drawn)
        return self.read(candidate, images)

    def _extended(self, candidate: Candidate, drawn: dict[str, Tensor]) -> dict[str, Tensor]:
        kept = self.read(candidate)
        if set(kept) - self.whole != set(drawn) - self.whole:
            raise ValueError(f"the set has the tables {sorted(kept)}, the draw {sorted(drawn)}")
        return {
            name: table if name in self.whole else torch.cat([table, drawn[name].cpu()])
            for name, table in kept.items()
        }

    def _write(self, candidate: Candidate, images: int, tables: Mapping[str, Tensor]) -> None:
        for name, table in tables.items():
            if name not in self.whole and len(table) != images:
                raise ValueError(f"{name} has {len(table)} rows for {images} images")
        said = {
            "key": self.key,
            "candidate": rounded(candidate),
            "images": images,
            "protocol": self.protocol,
        }
        plain = {
            name: table.detach().to("cpu", torch.float32).contiguous().clone()
            for name, table in tables.items()
        }
        with atomic_path(self.path(candidate)) as partial:
            # in one entry, because several are written in an order by chance
            save_file(plain, partial, {METADATA: json.dumps(said, ensure_ascii=False)})


@dataclass(frozen=True, eq=False)
class StoredTables(Mapping[str, Tensor]):
    """Tables in a file: a table is read each time it is asked for.

    Attributes:
        file: the set.
        images: rows of so many images, the first; None: all.
        whole: tables that are not cut.

    """

    file: Path
    images: int | None
    whole: frozenset[str]

    def __getitem__(self, name: str) -> Tensor:
        with _opened(self.file) as tables:
            if name not in tables.keys():  # noqa: SIM118  # it is no mapping
                raise KeyError(name)
            if name in self.whole:
                return tables.get_tensor(name).clone()
            return tables.get_slice(name)[: self.images].clone()

    def __iter__(self) -> Iterator[str]:
        with _opened(self.file) as tables:
            return iter(list(tables.keys()))

    def __len__(self) -> int:
        return len(list(iter(self)))


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"The features {path} cannot be read ({error})",
            fix="repeat the command: what is missing is drawn again",
        ) from error


def _metadata(path: Path) -> dict[str, Any]:
    """What a file says of itself; nothing where it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads((file.metadata() or {}).get(METADATA, "{}"))
    except (FileNotFoundError, SafetensorError):
        return {}
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error.strerror or error}") from error
