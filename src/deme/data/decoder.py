"""Decodes records in a few threads; what is broken is named, not raised."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..errors import DataError
from .preparation import Pixels, Preparation
from .records import Record, Records, spread

_log = logging.getLogger(__name__)
_THREADS = min(8, os.cpu_count() or 1)
_SAMPLE = 16


@dataclass(frozen=True)
class BrokenImage:
    """An image that cannot be decoded."""

    name: str
    reason: str


class Decoder:
    """From positions to pixels. Pillow decodes and resizes without Python's lock."""

    def __init__(self, records: Records, preparation: Preparation, strict: bool) -> None:
        self.records = records
        self.preparation = preparation
        self.strict = strict
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="deme-decode")

    def __call__(self, positions: Sequence[int]) -> list[Pixels | BrokenImage]:
        """Uint8 ``(C, H, W)`` for each position, or why there is none.

        Raises:
            DataError: no image of this set can be used; or, with ``strict``, one is broken.

        """
        records = self.records.fetch(positions)
        # One piece for each thread: small images decode faster than threads hand over.
        size = max(1, -(-len(records) // _THREADS))
        pieces = [records[start : start + size] for start in range(0, len(records), size)]
        images = [image for piece in self._pool.map(self._decode_all, pieces) for image in piece]
        for image in images:
            if isinstance(image, BrokenImage):
                _log.warning("skipped the broken image %s: %s", image.name, image.reason)
        return images

    def mean_bytes(self) -> int:
        """Bytes of one prepared image: exact where all are cropped, else a sample's mean."""
        side = self.preparation.resolution
        if self.preparation.crop:
            return self.preparation.channels * side * side
        sample = self._decode_all(self.records.fetch(spread(len(self.records), _SAMPLE)))
        sizes = [pixels.nbytes for pixels in sample if not isinstance(pixels, BrokenImage)]
        return sum(sizes) // max(1, len(sizes))

    def broken_error(self, broken: BrokenImage) -> DataError:
        """Make the error that stops a strict run."""
        return DataError(
            f"The image {broken.name} of {self.records.name} is broken: {broken.reason}",
            fix="repair or remove it, or set data.strict to false to skip broken images",
        )

    def _decode_all(self, records: Sequence[Record]) -> list[Pixels | BrokenImage]:
        return [self._decode(record) for record in records]

    def _decode(self, record: Record) -> Pixels | BrokenImage:
        try:
            return self.preparation(self.records.decode(record))
        except (DataError, MemoryError):
            raise
        # Pillow's decoders raise errors of every kind on broken bytes; each means the same here.
        except Exception as error:
            broken = BrokenImage(record.name, _reason(error))
            if self.strict:
                raise self.broken_error(broken) from error
            return broken


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):  # its own message holds an address in memory
        return "not an image that Pillow can read"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def require_two(count: int, name: str, skipped: Sequence[BrokenImage] = ()) -> None:
    """Check that there are images to learn from.

    Raises:
        DataError: fewer than two can be used.

    """
    if count >= 2:
        return
    first = f"; the first is {skipped[0].name}: {skipped[0].reason}" if skipped else ""
    broken = f" ({len(skipped)} broken{first})" if skipped else ""
    found = "no image" if count == 0 else "only one image"
    raise DataError(
        f"{name} holds {found} that can be used{broken}; at least 2 images are needed",
        fix="check data.dataset, data.split and data.image_column, or add images",
    )
