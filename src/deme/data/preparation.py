"""Resize, crop and flip, as diffusers' trainers do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .config import Interpolation
from .decoding import to_mode

if TYPE_CHECKING:
    from PIL.Image import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Preparation:
    """From a decoded picture to pixels: convert, resize the shorter side, crop the centre.

    The sizes and corners are those of torchvision's ``Resize`` and ``CenterCrop``, which
    diffusers' trainers use; the interpolation is Pillow's, which is antialiased.
    """

    channels: int
    """1 or 3."""
    resolution: int
    """Pixels along the shorter side."""
    interpolation: Interpolation
    background: int
    """Grey level 0..255 behind transparent pixels."""
    crop: bool
    """Crop the centre now. Otherwise the longer side is left for a random crop."""

    def __call__(self, image: Image) -> Pixels:
        """Uint8 ``(C, H, W)``; H = W = ``resolution`` with ``crop``, else the shorter side is.

        Raises:
            ValueError: the picture cannot be converted.

        """
        image = self._resize(to_mode(image, self.channels, self.background))
        pixels = np.asarray(image)
        pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
        if self.crop:
            pixels = cropped(pixels, self.resolution, None)
        return np.ascontiguousarray(pixels)

    def _resize(self, image: Image) -> Image:
        from PIL.Image import Resampling

        width, height = image.size
        shorter, longer = sorted(image.size)
        if shorter == self.resolution:
            return image
        other = int(self.resolution * longer / shorter)
        size = (self.resolution, other) if width <= height else (other, self.resolution)
        return image.resize(size, Resampling[self.interpolation.upper()])


def cropped(pixels: Pixels, resolution: int, place: Sequence[float] | None) -> Pixels:
    """Cut a square view out of ``(C, H, W)`` pixels.

    Args:
        pixels: uint8 ``(C, H, W)``, H and W at least ``resolution``.
        resolution: the square's side.
        place: where, as two numbers in ``[0, 1)`` (top, left), each corner equally likely where
            they are uniform; None: the centre.

    """
    slack = [side - resolution for side in pixels.shape[1:]]
    if place is None:
        top, left = (round(room / 2) for room in slack)
    else:
        top, left = (int(part * (room + 1)) for part, room in zip(place, slack, strict=True))
    return pixels[:, top : top + resolution, left : left + resolution]


@dataclass(frozen=True)
class Draws:
    """The random choices for one batch; None where nothing is random."""

    flips: Tensor | None = None
    """Bool ``(B,)``."""
    places: Tensor | None = None
    """Float64 ``(B, 2)`` in ``[0, 1)``: top and left of a crop."""


@dataclass(frozen=True)
class Augmentation:
    """What is drawn anew each time an image is used."""

    random_flip: bool = False
    random_crop: bool = False

    def draw(self, count: int, generator: torch.Generator | None) -> Draws:
        """Draws for ``count`` images, flips first; nothing without a generator."""
        if generator is None:
            return Draws()
        flips = torch.rand(count, generator=generator) < 0.5 if self.random_flip else None
        places = None
        if self.random_crop:
            places = torch.rand(count, 2, generator=generator, dtype=torch.float64)
        return Draws(flips, places)


def flipped(images: Tensor, flips: Tensor | None) -> Tensor:
    """Mirrors left to right the images ``(B, C, H, W)`` that ``flips`` (bool ``(B,)``) names."""
    if flips is None:
        return images
    # Choosing whole images out of both copies is memory copying; `where` broadcasts bytes.
    both = torch.cat([images, images.flip(-1)])
    return both.index_select(0, torch.arange(len(images)) + len(images) * flips)
