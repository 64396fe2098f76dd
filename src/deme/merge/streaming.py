"""Writing safetensors files whose tensors are made while they are written, a piece at a time.

The layout of a safetensors file follows from names, shapes and dtypes alone, so each piece goes to
its place in the file as soon as it is made, from several threads; no tensor waits in memory for
the others.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import split_state_dict_into_shards_factory
from torch import Tensor

from ..errors import ModelError
from ..files import storage_errors
from .sources.contract import TensorInfo
from .sources.safetensors_files import DTYPES

Produce = Callable[[str], Iterator[Tensor]]
"""From a tensor's name to its elements in order, as flat pieces in the dtype of the layout."""

DTYPE_CODES = {dtype: code for code, dtype in DTYPES.items()}
"""The names that the safetensors format has for dtypes."""
FORMAT = {"format": "pt"}
MAX_WORKERS = 8
MEMORY_LIMIT = 512 * 2**20
"""Bytes that the tensors being made may take together; one that needs more is made alone."""


@dataclass(frozen=True)
class OutputFiles:
    """Where tensors go: one file, or shards with an index, named as diffusers does."""

    folder: Path
    shards: Mapping[str, Mapping[str, TensorInfo]]
    """The tensors of each file, by file name."""
    index_name: str | None
    """The index's file name; None where one file holds everything."""

    @classmethod
    def plan(
        cls,
        folder: Path,
        layout: Mapping[str, TensorInfo],
        *,
        stem: str,
        variant: str | None = None,
        max_shard_bytes: int,
    ) -> OutputFiles:
        """Splits ``layout`` as ``save_pretrained`` would.

        Args:
            folder: where the files go.
            layout: what is to be written.
            stem: ``diffusion_pytorch_model`` for diffusers, ``model`` for transformers.
            variant: goes into the names, as ``fp16`` does.
            max_shard_bytes: size from which on a file is split.

        """
        infix = f".{variant}" if variant else ""
        split = split_state_dict_into_shards_factory(
            dict(layout),
            get_storage_size=lambda info: info.nbytes,
            get_storage_id=lambda info: None,
            filename_pattern=f"{stem}{infix}{{suffix}}.safetensors",
            max_shard_size=max_shard_bytes,
        )
        shards = {
            file: {name: layout[name] for name in names}
            for file, names in split.filename_to_tensors.items()
        }
        index = f"{stem}.safetensors.index{infix}.json" if split.is_sharded else None
        return cls(folder, shards, index)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors; headers come on top."""
        return sum(info.nbytes for shard in self.shards.values() for info in shard.values())


def write_tensors(
    files: OutputFiles,
    produce: Produce,
    *,
    metadata_room: int = 0,
    workers: int | None = None,
    memory: Callable[[str], int] = lambda name: 0,
    progress: Callable[[int], None] = lambda nbytes: None,
) -> list[Path]:
    """Writes every tensor of ``files``; the folder must exist.

    Args:
        files: what goes where.
        produce: makes one tensor; called from several threads.
        metadata_room: bytes of metadata that :func:`set_metadata` may add to each file later, when
            what it says is known.
        workers: threads; None takes one for each core, eight at most.
        memory: bytes that making a tensor takes.
        progress: told how many bytes were written, from several threads.

    Raises:
        StorageError: no space, or no permission.
        ModelError: a dtype that safetensors cannot hold.

    """
    budget = _Budget(MEMORY_LIMIT)
    planned: list[_File] = []
    try:
        for name, shard in files.shards.items():
            planned.append(_File(files.folder / name, shard, metadata_room))
        jobs = [(file, name) for file in planned for name in file.offsets]

        def work(file: _File, name: str) -> None:
            with budget.take(memory(name)):
                for nbytes in file.write(name, produce(name)):
                    progress(nbytes)
                    if stop.is_set():
                        return

        stop = threading.Event()
        _in_threads(work, jobs, workers or default_workers(), stop)
    finally:
        for file in planned:
            file.close()
    if files.index_name is not None:
        _write_index(files)
    return [file.path for file in planned]


def default_workers() -> int:
    """One thread for each core that this process may use, eight at most."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, min(MAX_WORKERS, cores))


def _in_threads(
    work: Callable[[_File, str], None],
    jobs: list[tuple[_File, str]],
    workers: int,
    stop: threading.Event,
) -> None:
    threads = torch.get_num_threads()
    # each worker is one thread of arithmetic: torch's own threads under each would fight for cores
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        futures = [pool.submit(work, file, name) for file, name in jobs]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(threads)


class _Budget:
    """Lets threads go on while what they take together stays below a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.changed = threading.Condition()

    @contextlib.contextmanager
    def take(self, nbytes: int) -> Iterator[None]:
        with self.changed:
            self.changed.wait_for(lambda: self.used == 0 or self.used + nbytes <= self.limit)
            self.used += nbytes
        try:
            yield
        finally:
            with self.changed:
                self.used -= nbytes
                self.changed.notify_all()


def set_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Puts metadata into a file of :func:`write_tensors`, in the room that was kept for it.

    Raises:
        ModelError: there is not enough room.
        StorageError: the file cannot be written.

    """
    with storage_errors(path), path.open("r+b") as file:
        room = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(room))
        header["__metadata__"] = {**FORMAT, **metadata}
        encoded = _encode(header).ljust(room)
        if len(encoded) > room:
            raise ModelError(f"{path.name} has no room for {len(encoded) - room} bytes of metadata")
        file.seek(8)
        file.write(encoded)


def _encode(header: Mapping[str, object]) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode()


class _File:
    """One safetensors file: 8 bytes of header length, the header, the tensors."""

    def __init__(self, path: Path, tensors: Mapping[str, TensorInfo], metadata_room: int) -> None:
        self.path = path
        self.tensors = tensors
        # as the library does: wide dtypes first, so that each tensor is aligned
        names = sorted(tensors, key=lambda name: (-tensors[name].dtype.itemsize, name))
        self.offsets: dict[str, int] = {}
        position = 0
        for name in names:
            self.offsets[name] = position
            position += tensors[name].nbytes
        header = self._header()
        header = header.ljust(math.ceil((len(header) + metadata_room) / 8) * 8)
        self.start = 8 + len(header)
        with storage_errors(path):
            binary = getattr(os, "O_BINARY", 0)  # on Windows, or newlines would be translated
            self.descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | binary, 0o666)
            try:
                os.ftruncate(self.descriptor, self.start + position)
                _write_at(self.descriptor, len(header).to_bytes(8, "little") + header, 0)
            except OSError:
                self.close()
                raise

    def _header(self) -> bytes:
        header: dict[str, object] = {"__metadata__": FORMAT}
        for name, offset in self.offsets.items():
            info = self.tensors[name]
            if info.dtype not in DTYPE_CODES:
                raise ModelError(f"{name} is {info.dtype}, which safetensors cannot hold")
            header[name] = {
                "dtype": DTYPE_CODES[info.dtype],
                "shape": list(info.shape),
                "data_offsets": [offset, offset + info.nbytes],
            }
        return _encode(header)

    def write(self, name: str, pieces: Iterator[Tensor]) -> Iterator[int]:
        position = self.start + self.offsets[name]
        end = position + self.tensors[name].nbytes
        for piece in pieces:
            raw = memoryview(cast(Any, piece.contiguous().view(torch.uint8).numpy()))
            with storage_errors(self.path):
                while raw:
                    written = _write_at(self.descriptor, raw, position)
                    raw = raw[written:]
                    position += written
            yield piece.nbytes
        if position != end:
            raise ModelError(f"{name} came out {end - position} bytes short of its layout")

    def close(self) -> None:
        os.close(self.descriptor)


_SEEKING = threading.Lock()


def _write_at(descriptor: int, raw: bytes | memoryview, position: int) -> int:
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, raw, position)
    with _SEEKING:  # Windows has one position for each open file
        os.lseek(descriptor, position, os.SEEK_SET)
        return os.write(descriptor, raw)


def _write_index(files: OutputFiles) -> None:
    weight_map = {name: file for file, shard in files.shards.items() for name in shard}
    index = {
        "metadata": {"total_size": files.nbytes},
        "weight_map": dict(sorted(weight_map.items())),
    }
    path = files.folder / (files.index_name or "")
    with storage_errors(path):
        path.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", "utf-8")
