"""Low-rank parts: what a few singular vectors say of a matrix of differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .planes import Codes, PayloadReader, pack_with_width, unpack_with_width
from .quantized import WIDEST, dequantize, quantize

SINGULAR = np.dtype("<f4")
FACTOR_BLOCK = 2**13
"""Elements that are packed together: few, for each vector has elements of another size."""
ITERATIONS = 1
SEED = 0


@dataclass(frozen=True)
class Components:
    """The leading part ``U·diag(σ)·Vᵀ`` of a matrix of shape ``(m, n)``."""

    left: Tensor
    """``Uᵀ``, ``(k, m)``."""
    singular: Tensor
    """``σ``, ``(k,)``, falling, above 0."""
    right: Tensor
    """``Vᵀ``, ``(k, n)``."""


def leading_components(matrix: Tensor, count: int) -> Components:
    """The first ``count`` singular vectors, nearly, by randomised subspace iteration.

    Algorithms 4.4 and 5.1 of Halko, Martinsson & Tropp (arXiv:0909.4061), whose second step here
    goes through the Gram matrix of the small side. The draws are the same each time.

    Args:
        matrix: float32, ``(m, n)``, not all 0.
        count: at most ``min(m, n)``. Fewer come back where the matrix has no more.

    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    draws = torch.Generator().manual_seed(SEED)
    basis = torch.linalg.qr(wide @ torch.randn(wide.shape[1], count, generator=draws))[0]
    for _ in range(ITERATIONS):
        basis = torch.linalg.qr(wide @ torch.linalg.qr(wide.T @ basis)[0])[0]
    projected = basis.T @ wide
    values, vectors = torch.linalg.eigh((projected @ projected.T).double())
    values, vectors = values.flip(0), vectors.flip(1)
    kept = int((values > values[0] * 1e-10).sum())
    singular = values[:kept].sqrt().float()
    rotation = vectors[:, :kept].float()
    short = (basis @ rotation).T.contiguous()
    long = (rotation.T @ projected) / singular[:, None]
    left, right = (short, long) if wide is matrix else (long, short)
    return Components(left, singular, right)


@dataclass(frozen=True)
class LowRank:
    """``Σ_j p_j q_jᵀ / σ_j`` with ``p_j = σ_j u_j`` and ``q_j = σ_j v_j`` quantized by one step.

    Scaled so, an error in any element of the factors is an error of the same size in the matrix:
    one step for all spends the bits where they count.
    """

    singular: npt.NDArray[np.float32]
    left: Codes
    """``p``, ``r·m`` codes, one vector after the other."""
    right: Codes
    """``q``, ``r·n`` codes."""
    step: float

    @classmethod
    def of(cls, components: Components, rank: int, noise: float) -> LowRank | None:
        """The first ``rank`` components, quantized.

        Args:
            components: at least ``rank`` of them.
            rank: from 1 on.
            noise: the mean squared error of an element of the factors.

        Returns:
            None where the step would be no number of float32.

        """
        step = float(np.float32(math.sqrt(12 * noise)))
        singular = components.singular[:rank]
        if step < np.finfo(np.float32).tiny or float(singular[0]) / step > WIDEST:
            return None
        left, right = (
            quantize((factor[:rank] * singular[:, None]).numpy(), step)
            for factor in (components.left, components.right)
        )
        return cls(singular.numpy(), left, right, step)

    def dense(self, rows: slice = slice(None)) -> Tensor:
        """The matrix, or some of its rows: float32."""
        rank = self.singular.size
        left = torch.from_numpy(dequantize(self.left, self.step).reshape(rank, -1)[:, rows])
        right = torch.from_numpy(dequantize(self.right, self.step).reshape(rank, -1))
        scaled = left / torch.from_numpy(self.singular)[:, None]
        return scaled.T @ right

    def pack(self) -> bytes:
        """Singular values and codes as bytes; rank and step are the caller's to keep."""
        factors = (pack_with_width(codes, FACTOR_BLOCK) for codes in (self.left, self.right))
        return b"".join([self.singular.astype(SINGULAR).tobytes(), *factors])

    @classmethod
    def unpack(
        cls, reader: PayloadReader, rank: int, step: float, shape: tuple[int, int]
    ) -> LowRank:
        """What :meth:`pack` packed.

        Raises:
            StorageError: the payload is damaged.

        """
        singular = np.frombuffer(reader.take(rank * SINGULAR.itemsize), SINGULAR)
        if not (np.isfinite(singular).all() and (singular > 0).all()):
            raise reader.damaged("singular values that are none")
        left, right = (unpack_with_width(reader, rank * side, FACTOR_BLOCK) for side in shape)
        return cls(singular.astype(np.float32), left, right, step)
