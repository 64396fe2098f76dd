"""Writing the file: a safetensors file whose tensors' sizes are not known before they are made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from ...files import atomic_path, storage_errors

COPIED = 8 * 2**20
"""Bytes that are copied at once."""


class PayloadWriter:
    """Collects the bytes of tensors on disk, in the order in which they come.

    Args:
        data: the open file that takes them.

    """

    def __init__(self, data: BinaryIO) -> None:
        self._data = data
        self._ranges: dict[str, tuple[int, int]] = {}
        self._position = 0
        self.metadata: Mapping[str, str] = {}
        """What the file says beside the payloads; set before the end."""

    def append(self, key: str, payload: bytes) -> None:
        """Writes bytes at the end of the tensor ``key``, which must be the last one or new."""
        start, end = self._ranges.get(key, (self._position, self._position))
        if end != self._position:
            raise ValueError(f"{key} is not the last tensor")
        self._data.write(payload)
        self._position += len(payload)
        self._ranges[key] = (start, self._position)

    def header(self) -> bytes:
        """The length and the header of the safetensors file, padded to 8 bytes."""
        header: dict[str, object] = {"__metadata__": dict(self.metadata)}
        for key, (start, end) in self._ranges.items():
            header[key] = {"dtype": "U8", "shape": [end - start], "data_offsets": [start, end]}
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded = encoded.ljust(-(-len(encoded) // 8) * 8)
        return len(encoded).to_bytes(8, "little") + encoded


@contextmanager
def payload_file(path: Path) -> Iterator[PayloadWriter]:
    """Yields a writer of payloads; the file is there, complete, when the block succeeds.

    The header comes first in the file and knows every payload's size, so that payloads wait in a
    file beside it.

    Raises:
        StorageError: no space left, or no permission to write there.

    """
    with atomic_path(path) as partial:
        data = partial.with_name(f"{partial.name}-data")
        try:
            with storage_errors(path), data.open("w+b") as payloads:
                writer = PayloadWriter(payloads)
                yield writer
                payloads.seek(0)
                with partial.open("wb") as file:
                    file.write(writer.header())
                    shutil.copyfileobj(payloads, file, COPIED)
        finally:
            data.unlink(missing_ok=True)
