"""Encoding one tensor of an expert against the base's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import MismatchError
from ..difference import as_expert_stores, difference
from .choosing import approximate
from .exact import INTEGERS, encode_exact
from .index import CompressedTensor, digest_bytes, digest_tensor
from .quantized import sum_of_squares


@dataclass(frozen=True)
class EncodedTensor:
    """A tensor as it goes to the file."""

    entry: CompressedTensor
    """What the file says of it."""
    payload: bytes | None
    """None where the tensor is the base's."""
    energy: float
    """``‖τ‖²``; 0 where nobody promised an error."""
    alters: bool
    """Whether the expert's stored bits, or their dtype, are other than the base's."""


def encode_tensor(expert: Tensor, base: Tensor, max_error: float | None) -> EncodedTensor:
    """Encodes a tensor: exactly, or in the cheapest way whose error is at most ``max_error``.

    Args:
        expert: as the expert stores it.
        base: as the base stores it, of the same shape.
        max_error: of ``‖τ̂ − τ‖ / ‖τ‖``; None for exact coding.

    Raises:
        MismatchError: whole numbers against floating-point ones.

    """
    if expert.dtype.is_floating_point != base.dtype.is_floating_point:
        raise MismatchError(f"the expert holds {expert.dtype}, the base {base.dtype}")
    shape, dtype = tuple(expert.shape), str(expert.dtype).removeprefix("torch.")
    digest = digest_tensor(base)
    if _same_bits(expert, as_expert_stores(base, expert.dtype)):
        entry = CompressedTensor(shape=shape, dtype=dtype, base=digest, coding="same")
        return EncodedTensor(entry, None, 0.0, alters=expert.dtype != base.dtype)
    energy, found = 0.0, None
    if max_error is not None and expert.dtype.is_floating_point:
        tau = difference(expert, base)
        energy = sum_of_squares(tau.numpy())
        found = approximate(expert, base, tau, max_error)
    payload, error = (encode_exact(expert, base), 0.0) if found is None else found
    entry = CompressedTensor(
        shape=shape,
        dtype=dtype,
        base=digest,
        coding="exact" if found is None else "approximate",
        payload=digest_bytes(payload),
        nbytes=len(payload),
        error=error,
    )
    return EncodedTensor(entry, payload, energy, alters=True)


def _same_bits(one: Tensor, other: Tensor) -> bool:
    integers = INTEGERS[one.dtype.itemsize]
    return torch.equal(one.contiguous().view(integers), other.contiguous().view(integers))
