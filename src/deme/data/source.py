"""The contract of this room: an :class:`ImageSource` gives a :class:`Batch` for indices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..randomness import generator

_CHUNK = 256


@dataclass(frozen=True)
class Batch:
    """Some images, in the order in which they were asked for."""

    images: Tensor
    """Uint8 ``(B, C, H, W)``, 0..255."""
    labels: Tensor | None = None
    """Int64 ``(B,)`` in ``[0, num_classes)``, where the data has labels."""
    captions: tuple[str, ...] | None = None
    """B texts, where the data has captions; ``""`` for a row without one."""


class ImageSource(ABC):
    """Images of one size, with the labels and captions that the data has.

    Attributes:
        name: what the user called it.
        resolution: height and width in pixels.
        channels: 1 (grey) or 3 (RGB).
        class_names: the name of each label, where the data names them.
        num_classes: one more than the highest label; None without labels.
        has_captions: whether batches carry captions.

    """

    name: str
    resolution: int
    channels: int
    class_names: tuple[str, ...] | None
    num_classes: int | None
    has_captions: bool

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """SHA-256 that identifies the pixels, labels and captions, before augmentation."""

    @property
    @abstractmethod
    def skipped(self) -> list[str]:
        """Names of the broken images met so far: a file's name, or ``row 7``."""

    @property
    @abstractmethod
    def residence(self) -> str:
        """Where the pixels are, in words, for :meth:`describe`."""

    @abstractmethod
    def batch(self, indices: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Read the images at ``indices``, each in ``[0, len(self))``; repeats are allowed.

        Args:
            indices: B of them.
            augment: what random flips and crops are drawn from, on the CPU: the same indices and
                the same seed give the same bytes. None: centre crop, no flip.

        """

    def describe(self) -> str:
        """One line: name, count, size, channels, classes, captions, skipped, cached or streamed."""
        size = f"{self.resolution}×{self.resolution}"
        color = {1: "grey", 3: "RGB"}[self.channels]
        labels = "no labels" if self.num_classes is None else f"{self.num_classes} classes"
        captions = "captions" if self.has_captions else "no captions"
        return (
            f"{self.name}: {len(self)} images, {size} {color}, {labels}, {captions}, "
            f"{len(self.skipped)} skipped, {self.residence}"
        )


def pixels(source: ImageSource, indices: Sequence[int] | Tensor) -> Tensor:
    """Uint8 ``(N, C, H, W)``: the images at ``indices``, without augmentation, read in chunks."""
    wanted = [int(index) for index in indices]
    shape = (len(wanted), source.channels, source.resolution, source.resolution)
    images = torch.empty(shape, dtype=torch.uint8)
    for start in range(0, len(wanted), _CHUNK):
        part = wanted[start : start + _CHUNK]
        images[start : start + len(part)] = source.batch(part).images
    return images


def disjoint_halves(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two random sets of indices that share none and together are ``[0, count)``.

    Their distance is the floor of a metric: no model can be asked to be nearer to the data than
    the data is to itself.

    Returns:
        int64 ``(count // 2,)`` and ``(count - count // 2,)``.

    """
    order = torch.randperm(count, generator=generator(seed, "halves"))
    return order[: count // 2], order[count // 2 :]
