"""Approximate coding: ``τ`` as a low-rank part plus quantized remains, to a promised error."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import torch
from torch import Tensor

from .low_rank import LowRank
from .planes import BLOCK, Codes, PayloadReader, pack_with_width, unpack_with_width
from .quantized import dequantize, largest_step, quantize, sum_of_squares

HEADER = struct.Struct("<Idd")
"""Rank, step of the factors, step of the remains; a step of 0 means that there are none."""


@dataclass(frozen=True)
class Approximation:
    """``τ̂ = L + step·q``: a low-rank part, or quantized multiples, or both."""

    low_rank: LowRank | None
    step: float
    codes: Codes | None

    @classmethod
    def within(
        cls, matrix: Tensor, allowed: float, low_rank: LowRank | None
    ) -> Approximation | None:
        """The approximation with this low-rank part whose squared error is at most ``allowed``.

        Args:
            matrix: ``τ``, float32, ``(m, n)``.
            allowed: the squared error.
            low_rank: of ``matrix``, or None.

        Returns:
            None where float32 cannot do it; see :func:`.quantized.largest_step`.

        """
        remains = (matrix if low_rank is None else matrix - low_rank.dense()).numpy()
        if low_rank is not None and sum_of_squares(remains) <= allowed:
            return cls(low_rank, 0.0, None)
        step = largest_step(remains, allowed)
        return None if step is None else cls(low_rank, step, quantize(remains, step))

    def dense(self, shape: tuple[int, int]) -> Tensor:
        """``τ̂``: float32, ``(m, n)``, newly made."""
        parts = []
        if self.codes is not None:
            parts.append(torch.from_numpy(dequantize(self.codes, self.step)).view(shape))
        if self.low_rank is not None:
            parts.append(self.low_rank.dense())
        if not parts:
            return torch.zeros(shape)
        return parts[0] if len(parts) == 1 else parts[0].add_(parts[1])

    def pack(self) -> bytes:
        """The approximation as a payload; the same one gives the same bytes."""
        rank = 0 if self.low_rank is None else self.low_rank.singular.size
        factor_step = 0.0 if self.low_rank is None else self.low_rank.step
        parts = [HEADER.pack(rank, factor_step, self.step)]
        if self.low_rank is not None:
            parts.append(self.low_rank.pack())
        if self.codes is not None:
            parts.append(pack_with_width(self.codes, BLOCK))
        return b"".join(parts)

    @classmethod
    def unpack(cls, reader: PayloadReader, shape: tuple[int, int]) -> Approximation:
        """What :meth:`pack` packed.

        Raises:
            StorageError: the payload is damaged.

        """
        rank, factor_step, step = HEADER.unpack(reader.take(HEADER.size))
        if not (rank <= min(shape) and math.isfinite(factor_step) and math.isfinite(step)):
            raise reader.damaged(f"a matrix of {shape} has no rank {rank}")
        low_rank = LowRank.unpack(reader, rank, factor_step, shape) if rank else None
        codes = unpack_with_width(reader, math.prod(shape), BLOCK) if step else None
        return cls(low_rank, step, codes)


def as_matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """The shape as a matrix: output channels, and everything else, as a convolution is applied."""
    rows = shape[0] if len(shape) > 1 else 1
    return rows, math.prod(shape) // rows if rows else 0
