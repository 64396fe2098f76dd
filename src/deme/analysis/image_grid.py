"""Images side by side, as one picture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def image_grid(
    images: NDArray[np.uint8], columns: int | None = None, *, smallest: int = 32
) -> NDArray[np.uint8]:
    """Lays images out in rows, from left to right and top to bottom.

    Args:
        images: uint8 ``(N, C, H, W)``, grey (C = 1) or RGB (C = 3).
        columns: images in a row; None: as square as can be.
        smallest: images with a shorter side below this many pixels are enlarged by the smallest
            whole factor that reaches it; each pixel becomes a square, none is invented.

    Returns:
        RGBA uint8 ``(rows · H' + gaps, columns · W' + gaps, 4)``; the gaps between images, and
        the places left over in the last row, are transparent.

    Raises:
        DataError: not uint8, not four axes, no image, or neither one nor three channels.

    """
    if images.dtype != np.uint8 or images.ndim != 4 or len(images) == 0:
        raise DataError(
            f"A grid needs uint8 images (N, C, H, W), not {images.dtype} {images.shape}"
        )
    if images.shape[1] not in (1, 3):
        raise DataError(f"Images of {images.shape[1]} channels cannot be shown", choices=[1, 3])
    if columns is None:
        columns = math.ceil(math.sqrt(len(images)))
    factor = max(1, math.ceil(smallest / min(images.shape[2:])))
    tiles = images.repeat(factor, axis=2).repeat(factor, axis=3)
    return _lay_out(tiles, columns, gap=max(2, min(tiles.shape[2:]) // 16))


def _lay_out(tiles: NDArray[np.uint8], columns: int, gap: int) -> NDArray[np.uint8]:
    count, _, height, width = tiles.shape
    rows = math.ceil(count / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 4)
    grid = np.zeros(shape, dtype=np.uint8)
    for index, tile in enumerate(tiles):
        row, column = divmod(index, columns)
        y, x = row * (height + gap), column * (width + gap)
        grid[y : y + height, x : x + width, :3] = tile.transpose(1, 2, 0)
        grid[y : y + height, x : x + width, 3] = 255
    return grid


def draw_image_grid(axes: Axes, grid: NDArray[np.uint8]) -> None:
    """Draws a grid with no axes lines, each pixel sharp."""
    axes.imshow(grid, interpolation="none")
    axes.set_axis_off()
