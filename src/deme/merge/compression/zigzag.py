"""Signed whole numbers as unsigned ones: 0, −1, 1, −2, 2, … become 0, 1, 2, 3, 4, …."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Signed = npt.NDArray[np.signedinteger[Any]]
Unsigned = npt.NDArray[np.unsignedinteger[Any]]


def to_zigzag(values: Signed) -> Unsigned:
    """Small numbers of either sign as small unsigned ones of the same width."""
    unsigned = np.dtype(f"u{values.itemsize}")
    return ((values << 1) ^ (values >> (8 * values.itemsize - 1))).view(unsigned)


def from_zigzag(codes: Unsigned) -> Signed:
    """The inverse of :func:`to_zigzag`."""
    signed = np.dtype(f"i{codes.itemsize}")
    signs = np.negative((codes & 1).view(signed))
    return np.bitwise_xor((codes >> 1).view(signed), signs)
