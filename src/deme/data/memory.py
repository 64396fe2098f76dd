"""Images that are already decoded: indexing and nothing more, since each training step calls it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import DataError
from ..files import hash_bytes, hash_value
from .labels import Labels
from .preparation import Augmentation, cropped, flipped
from .source import Batch, ImageSource


class PixelStore(ABC):
    """Decoded images by index."""

    channels: int
    resolution: int

    @abstractmethod
    def __len__(self) -> int:
        """How many images there are."""

    @abstractmethod
    def gather(self, indices: Tensor, places: Tensor | None) -> Tensor:
        """Uint8 ``(B, C, R, R)`` at ``indices`` (int64 ``(B,)``).

        Args:
            indices: which images.
            places: float64 ``(B, 2)``, where to crop; None: the centre.

        """


class SquareStore(PixelStore):
    """Images of one size: uint8 ``(N, C, R, R)``."""

    def __init__(self, pixels: Tensor) -> None:
        self._pixels = pixels
        self.channels, self.resolution = pixels.shape[1], pixels.shape[-1]

    def __len__(self) -> int:
        return len(self._pixels)

    def gather(self, indices: Tensor, places: Tensor | None) -> Tensor:
        """Index; a square leaves nothing to crop, so ``places`` changes nothing."""
        return self._pixels.index_select(0, indices)


class RaggedStore(PixelStore):
    """Images whose shorter side is R and whose longer sides differ, one after the other.

    Args:
        pixels: uint8 ``(bytes,)``.
        sizes: height and width of each.
        channels: 1 or 3.
        resolution: R.

    """

    def __init__(
        self, pixels: Tensor, sizes: Sequence[tuple[int, int]], channels: int, resolution: int
    ) -> None:
        lengths = torch.tensor([channels * height * width for height, width in sizes])
        self._starts = [0, *lengths.cumsum(0).tolist()]
        self._pixels = pixels.numpy()
        self._sizes = sizes
        self.channels, self.resolution = channels, resolution

    def __len__(self) -> int:
        return len(self._sizes)

    def gather(self, indices: Tensor, places: Tensor | None) -> Tensor:
        """Copy one crop for each image."""
        if len(indices) and not 0 <= int(indices.min()) <= int(indices.max()) < len(self):
            raise IndexError(f"index out of range: {len(self)} images, asked for {indices}")
        shape = (len(indices), self.channels, self.resolution, self.resolution)
        images = torch.empty(shape, dtype=torch.uint8)
        corners = [None] * len(indices) if places is None else places.tolist()
        for slot, (index, place) in enumerate(zip(indices.tolist(), corners, strict=True)):
            flat = self._pixels[self._starts[index] : self._starts[index + 1]]
            image = flat.reshape(self.channels, *self._sizes[index])
            images[slot] = torch.from_numpy(cropped(image, self.resolution, place))
        return images


class MemorySource(ImageSource):
    """Decoded images, from a cache that is memory-mapped or from tensors.

    Args:
        store: the pixels.
        pixels_digest: SHA-256 of the pixels.
        name: for messages and :meth:`describe`.
        labels: one for each image.
        captions: one for each image.
        skipped: names of the images that were broken.
        augmentation: what ``augment`` draws.
        residence: where the pixels are, in words.

    """

    def __init__(
        self,
        store: PixelStore,
        pixels_digest: str,
        *,
        name: str = "images",
        labels: Labels | None = None,
        captions: Sequence[str] | None = None,
        skipped: Sequence[str] = (),
        augmentation: Augmentation | None = None,
        residence: str = "in memory",
    ) -> None:
        self._store = store
        self._labels = None if labels is None else labels.values
        self._captions = None if captions is None else tuple(captions)
        self._skipped = list(skipped)
        self._augmentation = augmentation or Augmentation()
        self._residence = residence
        self._digest = hash_bytes(
            pixels_digest.encode(),
            b"" if labels is None else labels.values.numpy().tobytes(),
            hash_value(self._captions).encode(),
        )
        self.name = name
        self.resolution = store.resolution
        self.channels = store.channels
        self.num_classes = None if labels is None else labels.count
        self.class_names = None if labels is None else labels.names
        self.has_captions = captions is not None

    @classmethod
    def from_images(
        cls,
        images: Tensor,
        labels: Tensor | None = None,
        captions: Sequence[str] | None = None,
        *,
        name: str = "images",
        random_flip: bool = False,
    ) -> MemorySource:
        """Make a source of images that are tensors already.

        Args:
            images: uint8 ``(N, C, R, R)``, C 1 or 3.
            labels: integers ``(N,)`` from 0.
            captions: N texts.
            name: for messages.
            random_flip: mirror with probability 1/2 where ``augment`` is given.

        Raises:
            DataError: another type or shape, or counts that differ.

        """
        _check_images(images)
        count = len(images)
        for role, given in (("labels", labels), ("captions", captions)):
            if given is not None and len(given) != count:
                raise DataError(f"{count} images and {len(given)} {role} do not belong together")
        kind = None
        if labels is not None:
            kind = Labels(labels.to(torch.int64), int(labels.max()) + 1, None)
        pixels = images.contiguous().numpy()
        content = hash_bytes(str(pixels.shape).encode(), pixels.tobytes())
        return cls(
            SquareStore(images),
            content,
            name=name,
            labels=kind,
            captions=captions,
            augmentation=Augmentation(random_flip=random_flip),
        )

    def __len__(self) -> int:
        return len(self._store)

    @property
    def digest(self) -> str:
        """SHA-256 of the pixels, labels and captions, whatever form of data set they came in."""
        return self._digest

    @property
    def skipped(self) -> list[str]:
        """Names of the images that were broken when the cache was made."""
        return list(self._skipped)

    @property
    def residence(self) -> str:
        """``cached`` or ``in memory``."""
        return self._residence

    def batch(self, indices: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Images, labels and captions at ``indices``; see :meth:`ImageSource.batch`.

        Raises:
            IndexError: an index outside ``[0, len(self))``.

        """
        at = torch.as_tensor(indices, dtype=torch.int64)
        draws = self._augmentation.draw(len(at), augment)
        images = flipped(self._store.gather(at, draws.places), draws.flips)
        labels = None if self._labels is None else self._labels.index_select(0, at)
        captions = None
        if self._captions is not None:
            captions = tuple(self._captions[index] for index in at.tolist())
        return Batch(images, labels, captions)


def _check_images(images: Tensor) -> None:
    square = images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[2] == images.shape[3]
    if images.dtype != torch.uint8 or not square or len(images) == 0:
        raise DataError(
            f"Images of type {images.dtype} and shape {tuple(images.shape)} cannot be used",
            choices=["uint8 (N, 1, R, R)", "uint8 (N, 3, R, R)"],
        )
