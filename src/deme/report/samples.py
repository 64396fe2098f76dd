"""Before and after: the same noise through every arm, beside real images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..analysis import image_grid
from .evidence import MERGED, PRETRAINED
from .pictures import png
from .run_folder import RunFolder

SHOWN = ("real", PRETRAINED, MERGED)
FOLDED = ("joint", "routed", "uniform")
GRID_PIXELS = 768
"""About how many pixels of image a grid is wide: more small images, fewer large ones."""


@dataclass(frozen=True)
class Grid:
    """One arm's images.

    Attributes:
        name: the arm.
        title: what a reader calls it.
        image: a ``data:`` address.
        width: in pixels.
        height: in pixels.
        count: how many images.
    """

    name: str
    title: str
    image: str
    width: int
    height: int
    count: int


@dataclass(frozen=True)
class SampleGrids:
    """Grids side by side, and others behind a fold; ``absent`` are those not there yet."""

    shown: tuple[Grid, ...]
    folded: tuple[Grid, ...]
    absent: tuple[str, ...]


def sample_grids(run: RunFolder, titles: Mapping[str, str]) -> SampleGrids | None:
    """The grids of all arms that have images; None where none has.

    Raises:
        DataError: an array that is not uint8 ``(n, C, H, W)``, grey or RGB.
        StorageError: a damaged file.
    """
    shown = _grids(run, SHOWN, titles)
    folded = _grids(run, FOLDED, titles)
    if not shown and not folded:
        return None
    found = {grid.name for grid in shown}
    absent = tuple(titles.get(name, name) for name in SHOWN if name not in found)
    return SampleGrids(shown, folded, absent)


def _grids(run: RunFolder, names: tuple[str, ...], titles: Mapping[str, str]) -> tuple[Grid, ...]:
    grids = []
    for name in names:
        images = run.samples(name)
        if images is None:
            continue
        columns = _columns(min(images.shape[-2:]) if images.ndim == 4 else 1)
        pixels = image_grid(np.asarray(images[: columns * columns]), columns)
        title = "real images" if name == "real" else titles.get(name, name)
        height, width = pixels.shape[:2]
        count = min(len(images), columns * columns)
        grids.append(Grid(name, title, png(pixels), width, height, count))
    return tuple(grids)


def _columns(side: int) -> int:
    return min(max(GRID_PIXELS // max(side, 32), 3), 8)
