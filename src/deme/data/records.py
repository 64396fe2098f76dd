"""Encoded images by position, whatever they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .columns import find_columns
from .config import DataConfig
from .decoding import from_array
from .labels import Labels, read_labels
from .opening import BUNDLED, open_dataset

if TYPE_CHECKING:
    from datasets import Dataset
    from datasets import Image as ImageFeature
    from PIL.Image import Image


class Record(NamedTuple):
    """One image that is not decoded yet."""

    name: str
    value: Any


class Records(ABC):
    """A sequence of encoded images.

    Attributes:
        name: the data set, for messages.
        fingerprint: changes whenever the images or their order may have.
        labels: of every position; None where there are none.

    """

    name: str
    fingerprint: str
    labels: Labels | None

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""

    @abstractmethod
    def fetch(self, positions: Sequence[int]) -> list[Record]:
        """Read the encoded images at ``positions``."""

    @abstractmethod
    def decode(self, record: Record) -> Image:
        """Decode a picture of any mode and size, upright. Safe to call from several threads.

        Raises:
            DataError: no image of this set can be used (see :func:`decoding.from_array`).
            Exception: of any kind, where the image is broken.

        """

    @abstractmethod
    def captions(self, positions: Sequence[int]) -> tuple[str, ...] | None:
        """Read the captions at ``positions``; None where there are none."""


def open_records(config: DataConfig, progress: bool) -> Records:
    """Open the images that the configuration names, without decoding them.

    Raises:
        DataError: they cannot be found or read.
        StorageError: no space left for datasets' cache.

    """
    if config.dataset == BUNDLED:
        return DigitRecords(config.max_images)
    return TableRecords(open_dataset(config, progress), config)


def spread(count: int, most: int | None) -> list[int]:
    """Spread at most ``most`` rows over ``count``, so that a set sorted by class keeps them all."""
    if most is None or most >= count:
        return list(range(count))
    return [position * count // most for position in range(most)]


class DigitRecords(Records):
    """scikit-learn's UCI digits: 1 797 grey images of 8×8, ten classes.

    Values 0..16 become ``round(255 v / 16)``.
    """

    def __init__(self, max_images: int | None) -> None:
        from sklearn.datasets import load_digits

        digits: Any = load_digits()
        rows = spread(len(digits.target), max_images)
        self._images = np.rint(digits.images[rows] * (255 / 16)).astype(np.uint8)
        self._rows = rows
        self.name = BUNDLED
        self.fingerprint = "scikit-learn's load_digits"
        names = [str(digit) for digit in range(10)]
        self.labels = read_labels(digits.target[rows].tolist(), names, BUNDLED, True)

    def __len__(self) -> int:
        return len(self._rows)

    def fetch(self, positions: Sequence[int]) -> list[Record]:
        """Read the 8×8 arrays at ``positions``."""
        return [Record(f"row {self._rows[at]}", self._images[at]) for at in positions]

    def decode(self, record: Record) -> Image:
        """Make a grey picture of 8×8."""
        return from_array(record.value)

    def captions(self, positions: Sequence[int]) -> None:
        """None: digits have no captions."""


class TableRecords(Records):
    """Rows of a ``datasets`` table, memory-mapped."""

    def __init__(self, table: Dataset, config: DataConfig) -> None:
        from datasets import ClassLabel
        from datasets import Image as ImageFeature

        self.name = config.dataset
        columns = find_columns(table.features, config, self.name)
        self.fingerprint = f"{table._fingerprint} {columns.image}"
        self._rows = spread(len(table), config.max_images)
        self._folder = Path(config.dataset).expanduser().resolve()
        self._column = columns.image
        self._decoder: ImageFeature | None = None
        images = table.select_columns([columns.image])
        if _is_encoded(table.features[columns.image]):
            self._decoder = ImageFeature()
            images = images.cast_column(columns.image, ImageFeature(decode=False))
        else:
            images = images.with_format("numpy")
        self._images = images
        self._captions = None
        if columns.caption is not None:
            self._captions = table.select_columns([columns.caption])
        self.labels = None
        if columns.label is not None:
            feature = table.features[columns.label]
            names = feature.names if isinstance(feature, ClassLabel) else None
            values = table.select_columns([columns.label])[:][columns.label]
            where = f"The column {columns.label!r} of {self.name}"
            labels = read_labels(values, names, where, config.label_column is not None)
            if labels is not None:
                self.labels = Labels(labels.values[self._rows], labels.count, labels.names)

    def __len__(self) -> int:
        return len(self._rows)

    def fetch(self, positions: Sequence[int]) -> list[Record]:
        """Read encoded bytes and paths, or arrays, in one access to the table."""
        rows = [self._rows[position] for position in positions]
        if not rows:
            return []
        values = self._images[rows][self._column]
        return [
            Record(self._name_of(row, value), value)
            for row, value in zip(rows, values, strict=True)
        ]

    def decode(self, record: Record) -> Image:
        """Decode a picture and turn it as its EXIF orientation says."""
        if record.value is None:
            raise ValueError("there is no image in this row")
        if self._decoder is None:
            return from_array(np.asarray(record.value))
        return self._decoder.decode_example(_with_bytes(record.value))

    def captions(self, positions: Sequence[int]) -> tuple[str, ...] | None:
        """Read the captions at ``positions``; a list of captions gives its first."""
        if self._captions is None:
            return None
        rows = [self._rows[position] for position in positions]
        values = self._captions[rows][self._captions.column_names[0]] if rows else []
        return tuple(_caption(value) for value in values)

    def _name_of(self, row: int, value: Any) -> str:
        path = value.get("path") if isinstance(value, dict) else None
        if not path:
            return f"row {row}"
        if Path(path).is_relative_to(self._folder):
            return Path(path).relative_to(self._folder).as_posix()
        return str(path)


def _is_encoded(feature: Any) -> bool:
    from datasets import Image, Value

    return isinstance(feature, Image | dict | Value)


def _with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    """Read a local file here: given its path, Pillow keeps files of several frames open."""
    path = value["path"]
    if value["bytes"] is not None or path is None or "://" in path:
        return value
    return {"path": path, "bytes": Path(path).read_bytes()}


def _caption(value: str | list[str] | None) -> str:
    if isinstance(value, list):
        value = value[0] if value else None
    return value or ""
