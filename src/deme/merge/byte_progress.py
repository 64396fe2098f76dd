"""Progress in megabytes, from many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

MEGABYTE = 10**6
Report = Callable[[int, int], None]
"""Told how many megabytes are written, and how many there will be."""


class ByteProgress:
    """Sums up what threads have written.

    Args:
        total: bytes that will be written.
        report: told of it.

    """

    def __init__(self, total: int, report: Report) -> None:
        self.total = megabytes(total)
        self._report = report
        self._written = 0
        self._lock = threading.Lock()

    def __call__(self, nbytes: int) -> None:
        """Some more bytes are written."""
        with self._lock:
            self._written += nbytes
            self._report(min(megabytes(self._written), self.total), self.total)


UNITS = ("B", "kB", "MB", "GB", "TB")


def in_units(nbytes: float) -> str:
    """Bytes for people, three figures."""
    for unit in UNITS[:-1]:
        if nbytes < 1000:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} {UNITS[-1]}"


def megabytes(nbytes: int) -> int:
    """Bytes as megabytes of 10⁶, a part of one counted whole."""
    return -(-nbytes // MEGABYTE)
