"""The same noise through every arm: a strip of images for each, real ones above."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...analysis import image_grid
from ..pictures import png
from ..run_folder import RunFolder
from ..samples import Grid
from .record import ComparisonRecord

REAL = "real"
STRIP_PIXELS = 1600
"""About how many pixels a strip is wide."""
GRID_PIXELS = 400
"""About how many pixels an arm's grid is wide."""
LARGEST_SIDE = 128
"""Larger images are shown reduced: a page of many arms must stay small enough to send."""


@dataclass(frozen=True)
class Samples:
    """Every arm's images.

    Attributes:
        strips: a row of images for each arm, real ones first; a column is one noise.
        grids: more of each arm; empty where there are no more.
        absent: titles of arms that are judged and have no images yet.
        reduced: whether images are shown smaller than they are.

    """

    strips: tuple[Grid, ...]
    grids: tuple[Grid, ...]
    absent: tuple[str, ...]
    reduced: bool


def comparison_samples(folder: Path, record: ComparisonRecord) -> Samples | None:
    """The images of all arms that have some; None where none has.

    Raises:
        DataError: an array that is not uint8 ``(n, C, H, W)``, grey or RGB.
        StorageError: a damaged file.

    """
    run = RunFolder(folder)
    arms = list(record.arms)
    found = {name: images for name in (REAL, *arms) if (images := run.samples(name)) is not None}
    if not any(name in found for name in arms):
        return None
    shown = {name: _reduced(np.asarray(images)) for name, images in found.items()}
    titles = {name: record.title(name) for name in arms} | {REAL: "real images"}
    side = max(min(images.shape[-2:]) for images in shown.values())
    strip = min(max(STRIP_PIXELS // max(side + 2, 34), 6), 16)
    strips = tuple(
        _grid(name, titles[name], images[:strip], strip) for name, images in shown.items()
    )
    columns = min(max(GRID_PIXELS // max(side, 32), 2), 8)
    more = any(min(len(images), columns**2) > strip for images in shown.values())
    grids = tuple(
        _grid(name, titles[name], images[: columns**2], columns) for name, images in shown.items()
    )
    return Samples(
        strips=strips,
        grids=grids if more else (),
        absent=tuple(titles[name] for name in arms if name not in found),
        reduced=any(shown[name].shape != found[name].shape for name in found),
    )


def _grid(name: str, title: str, images: NDArray[np.uint8], columns: int) -> Grid:
    pixels = image_grid(images, columns)
    height, width = pixels.shape[:2]
    return Grid(name, title, png(pixels), width, height, len(images))


def _reduced(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Means over squares of the smallest whole size that brings large images down."""
    if images.ndim != 4 or images.dtype != np.uint8:  # image_grid says what is wrong with it
        return images
    factor = -(-max(images.shape[-2:]) // LARGEST_SIDE)
    if factor < 2:
        return images
    height, width = (size // factor * factor for size in images.shape[-2:])
    squares = images[..., :height, :width].reshape(
        *images.shape[:2], height // factor, factor, width // factor, factor
    )
    return np.rint(squares.mean(axis=(3, 5))).astype(np.uint8)
