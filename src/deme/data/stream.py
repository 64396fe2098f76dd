"""Images that are decoded each time they are used: for data larger than memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from ..files import hash_value
from .decoder import BrokenImage, Decoder, require_two
from .preparation import Augmentation, Pixels, cropped, flipped
from .source import Batch, ImageSource


class StreamSource(ImageSource):
    """Decodes on access, in a few threads.

    A broken image is only met when it is used. It is reported and counted then, and the next
    readable image (with its own label and caption) stands in for it: the length stays, and the
    same indices still give the same bytes.

    Args:
        decoder: the images.
        key: what decides the pixels, as JSON values: the digest is made of it.
        augmentation: what ``augment`` draws.

    """

    def __init__(self, decoder: Decoder, key: object, augmentation: Augmentation) -> None:
        records = decoder.records
        labels = records.labels
        self._decoder = decoder
        self._records = records
        self._augmentation = augmentation
        self._labels = None if labels is None else labels.values
        self._broken: dict[int, BrokenImage] = {}
        captioned = records.captions([]) is not None
        self._digest = hash_value(
            [key, None if labels is None else labels.values.tolist(), captioned, "streamed"]
        )
        self.name = records.name
        self.resolution = decoder.preparation.resolution
        self.channels = decoder.preparation.channels
        self.num_classes = None if labels is None else labels.count
        self.class_names = None if labels is None else labels.names
        self.has_captions = captioned
        require_two(len(records), self.name)
        self._read([0])  # so that images which cannot be used stop the run now, not at a step

    def __len__(self) -> int:
        return len(self._records)

    @property
    def digest(self) -> str:
        """SHA-256 of the data set's fingerprint and of how it is prepared."""
        return self._digest

    @property
    def skipped(self) -> list[str]:
        """Names of the broken images met so far, in the data set's order."""
        return [self._broken[position].name for position in sorted(self._broken)]

    @property
    def residence(self) -> str:
        """``streamed``."""
        return "streamed"

    def batch(self, indices: Sequence[int], augment: torch.Generator | None = None) -> Batch:
        """Images, labels and captions at ``indices``; see :meth:`ImageSource.batch`.

        Raises:
            DataError: with ``strict``, an image is broken; or fewer than two can be read.
            IndexError: an index outside ``[0, len(self))``.

        """
        wanted = [int(index) for index in indices]
        if any(not 0 <= index < len(self) for index in wanted):
            raise IndexError(f"index out of range: {len(self)} images, asked for {wanted}")
        draws = self._augmentation.draw(len(wanted), augment)
        positions, pixels = self._read(wanted)
        places = [None] * len(wanted) if draws.places is None else draws.places.tolist()
        shape = (len(wanted), self.channels, self.resolution, self.resolution)
        images = np.empty(shape, dtype=np.uint8)
        for slot, (image, place) in enumerate(zip(pixels, places, strict=True)):
            images[slot] = cropped(image, self.resolution, place)
        labels = None
        if self._labels is not None:
            labels = self._labels[torch.tensor(positions, dtype=torch.int64)]
        pictures = flipped(torch.from_numpy(images), draws.flips)
        return Batch(pictures, labels, self._records.captions(positions))

    def _read(self, wanted: Sequence[int]) -> tuple[list[int], list[Pixels]]:
        """Positions of readable images for ``wanted``, and their pixels."""
        while True:
            positions = [self._readable(position) for position in wanted]
            decoded = self._decoder(positions)
            pixels = [image for image in decoded if not isinstance(image, BrokenImage)]
            if len(pixels) == len(decoded):
                return positions, pixels
            for position, image in zip(positions, decoded, strict=True):
                if isinstance(image, BrokenImage):
                    self._broken[position] = image
            broken = [self._broken[position] for position in sorted(self._broken)]
            require_two(len(self) - len(broken), self.name, broken)

    def _readable(self, position: int) -> int:
        while position in self._broken:
            position = (position + 1) % len(self)
        return position
