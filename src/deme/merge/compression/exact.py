"""Exact coding: an expert's stored bits as differences of integers from the base's.

Floating-point numbers of one sign are ordered as their bits are. Mapped to integers that keep the
order, an expert's weight and the base's differ by the number of representable numbers between
them: small wherever training changed little. That number is large where the base's weight is
small, for there the representable numbers are dense; so the elements are sorted by the base's
exponent, which the decoder knows too, and the entropy coder meets numbers of one size at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..difference import as_expert_stores
from .planes import PayloadReader, pack_codes, unpack_codes
from .zigzag import from_zigzag, to_zigzag

Stored = npt.NDArray[np.signedinteger[Any]]

BLOCK = 2**20
"""Elements that are sorted and packed together."""
INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Signed integers by their bytes, as which any dtype's bits are read."""
MANTISSA_BITS = {torch.float64: 52, torch.float32: 23, torch.float16: 10, torch.bfloat16: 7}
"""Of the dtypes whose numbers are mapped in order; others are subtracted as their bits are."""


def encode_exact(expert: Tensor, base: Tensor) -> bytes:
    """The expert's tensor as a payload from which, with the base's, every bit comes back.

    NaN with any payload, infinities and −0.0 too. The same tensors give the same bytes.

    Args:
        expert: of any dtype of 1, 2, 4 or 8 bytes and any shape.
        base: of the same shape; its dtype may be another.

    """
    theirs = expert.detach().flatten()
    packed = []
    for start, ours in _blocks(base, expert.dtype):
        block = theirs[start : start + len(ours)]
        codes = to_zigzag(_ordered(_bits(block), expert.dtype) - _ordered(ours, expert.dtype))
        order = _by_exponent(ours, expert.dtype)
        packed.append(pack_codes(codes if order is None else codes[order], BLOCK))
    return b"".join(packed)


def decode_exact(reader: PayloadReader, base: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor that :func:`encode_exact` was given, bit for bit.

    Args:
        reader: stands where the payload begins.
        base: the same base as then.
        dtype: the expert's.

    Raises:
        StorageError: the payload is damaged.

    """
    result = torch.empty(base.numel(), dtype=dtype)
    bits = _bits(result)
    for start, ours in _blocks(base, dtype):
        block = bits[start : start + len(ours)]
        codes = unpack_codes(reader, len(ours), f"u{dtype.itemsize}", BLOCK)
        order = _by_exponent(ours, dtype)
        if order is not None:
            codes[order] = codes.copy()
        block[:] = _ordered(from_zigzag(codes) + _ordered(ours, dtype), dtype)
    return result.view(base.shape)


def _blocks(base: Tensor, dtype: torch.dtype) -> Iterator[tuple[int, Stored]]:
    """Start and bits of each block of the base as the expert stores it."""
    flat = base.detach().flatten()
    for start in range(0, flat.numel(), BLOCK):
        yield start, _bits(as_expert_stores(flat[start : start + BLOCK], dtype))


def _bits(tensor: Tensor) -> Stored:
    return tensor.contiguous().view(INTEGERS[tensor.dtype.itemsize]).numpy()


def _ordered(bits: Stored, dtype: torch.dtype) -> Stored:
    """Bits of floating-point numbers as integers in the numbers' order; its own inverse.

    Negative numbers, whose bits grow with their size, have all but the sign turned over.
    """
    if dtype not in MANTISSA_BITS:
        return bits
    sign = 8 * bits.itemsize - 1
    return bits ^ ((bits >> sign) & np.iinfo(bits.dtype).max)


def _by_exponent(bits: Stored, dtype: torch.dtype) -> npt.NDArray[np.intp] | None:
    """The order of the elements by their exponent, equal ones as they come; None for integers."""
    if dtype not in MANTISSA_BITS:
        return None
    mantissa = MANTISSA_BITS[dtype]
    width = 8 * bits.itemsize - 1 - mantissa
    exponents = (bits >> mantissa) & (2**width - 1)
    return np.argsort(exponents.astype(np.uint8 if width <= 8 else np.uint16), kind="stable")
