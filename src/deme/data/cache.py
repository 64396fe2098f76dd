"""The decoded images of a data set in one ``.npy`` file, written once.

``images-<key>.npy`` holds the pixels, ``images-<key>.json`` their hash and what was skipped. The
index is written last: without it, or when the hash differs, the cache counts as absent and is made
anew. Two processes that make the same cache write the same bytes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from ..errors import StorageError
from ..files import atomic_path, hash_file, read_json, write_json
from .decoder import BrokenImage, Decoder, require_two
from .preparation import Pixels

_log = logging.getLogger(__name__)
_CHUNK = 256
_FORMAT = 1


@dataclass(frozen=True)
class CachedPixels:
    """What a cache holds."""

    pixels: Tensor
    """Uint8, memory-mapped: ``(N, C, H, W)``, or flat ``(bytes,)`` where sizes differ."""
    sizes: list[tuple[int, int]] | None
    """Height and width of each image, where they differ."""
    kept: list[int]
    """The N positions that could be decoded."""
    skipped: list[BrokenImage]
    sha256: str
    """Hash of the pixel file."""


def read_cache(folder: Path, key: str) -> CachedPixels | None:
    """Read and check the cache of that key; None where there is none or it is damaged."""
    pixels_path, index_path = _paths(folder, key)
    if not index_path.exists():
        return None
    try:
        index = read_json(index_path)
        if index["format"] != _FORMAT or hash_file(pixels_path) != index["sha256"]:
            raise ValueError("its hash differs")
        skipped = [BrokenImage(name, reason) for _, name, reason in index["skipped"]]
        missing = {position for position, _, _ in index["skipped"]}
        kept = [position for position in range(index["count"]) if position not in missing]
        sizes = None if index["sizes"] is None else [(h, w) for h, w in index["sizes"]]
    except (StorageError, OSError, ValueError, KeyError, TypeError) as error:
        _log.warning("the image cache %s is damaged (%s); making it anew", pixels_path, error)
        return None
    # Copy-on-write: torch wants a writable array, and nothing here writes to it.
    pixels = torch.from_numpy(np.load(pixels_path, mmap_mode="c"))
    return CachedPixels(pixels, sizes, kept, skipped, index["sha256"])


def write_cache(folder: Path, key: str, decoder: Decoder, progress: bool) -> CachedPixels:
    """Decode every image and keep the result.

    Raises:
        DataError: fewer than two images can be used; or, with ``strict``, one is broken.
        StorageError: no space left, or no permission.

    """
    images: list[Pixels] = []
    skipped: list[tuple[int, BrokenImage]] = []
    for start in _steps(len(decoder.records), f"Decoding {decoder.records.name}", progress):
        positions = range(start, min(start + _CHUNK, len(decoder.records)))
        for position, decoded in zip(positions, decoder(positions), strict=True):
            if isinstance(decoded, BrokenImage):
                skipped.append((position, decoded))
            else:
                images.append(decoded)
    require_two(len(images), decoder.records.name, [broken for _, broken in skipped])
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    same = len(set(sizes)) == 1
    pixels_path, index_path = _paths(folder, key)
    with atomic_path(pixels_path) as partial, partial.open("wb") as file:
        _write_npy(file, images, same)
    index = {
        "format": _FORMAT,
        "sha256": hash_file(pixels_path),
        "count": len(decoder.records),
        "skipped": [[position, broken.name, broken.reason] for position, broken in skipped],
        "sizes": None if same else sizes,
    }
    write_json(index_path, index)
    written = read_cache(folder, key)
    if written is None:
        raise StorageError(
            f"The image cache {pixels_path} changed while it was being written",
            fix="check the disk, then repeat the command",
        )
    return written


def _paths(folder: Path, key: str) -> tuple[Path, Path]:
    name = f"images-{key[:16]}"
    return folder / f"{name}.npy", folder / f"{name}.json"


def _write_npy(file: BinaryIO, images: Sequence[Pixels], same: bool) -> None:
    """Write piece by piece: no second copy in memory, and a full disk is an error, not a crash."""
    total = sum(image.nbytes for image in images)
    shape = (len(images), *images[0].shape) if same else (total,)
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    for image in images:
        file.write(image.data)


def _steps(count: int, description: str, progress: bool) -> Iterable[int]:
    starts = range(0, count, _CHUNK)
    if not progress:
        return starts
    from rich.console import Console
    from rich.progress import track

    return track(starts, description, console=Console(stderr=True))
