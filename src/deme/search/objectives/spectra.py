"""Functions of the eigenvalues of symmetric matrices, with gradients that stay finite."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def trace_of_root(matrices: Tensor, ranks: Tensor | int) -> Tensor:
    """``tr M^½`` of positive semidefinite matrices ``(..., k, k)``, as ``(...)``.

    Args:
        matrices: symmetric; eigenvalues below zero are taken for rounding and count as zero.
        ranks: ``(...)`` or one number: how many eigenvalues, the largest, can differ from zero. The
            root would magnify the rounding of the others from 1e-16 to 1e-8 each.

    """
    values = torch.linalg.eigvalsh(matrices)
    size = values.shape[-1]
    places = torch.arange(size, device=values.device)
    possible = places >= size - torch.as_tensor(ranks, device=values.device)[..., None]
    largest = values.detach().abs().amax(-1, keepdim=True)
    return torch.where(possible, root(values, largest), 0.0).sum(-1)


def root(values: Tensor, scale: Tensor) -> Tensor:
    """``√max(x, 0)`` whose gradient is zero, not infinite, where x is rounding.

    Args:
        values: any shape.
        scale: what ``values`` were rounded relative to, positive and broadcast to their shape.

    """
    floor = (scale * torch.finfo(values.dtype).eps).clamp(min=torch.finfo(values.dtype).tiny)
    above = values > floor
    smooth = torch.where(above, values, floor).sqrt()
    return torch.where(above, smooth, values.detach().clamp(min=0).sqrt())


def positive_part(matrices: Tensor) -> tuple[Tensor, Tensor]:
    """The nearest positive semidefinite matrices: negative eigenvalues become zero.

    ``A₊ = U Λ₊ Uᵀ`` for symmetric ``A = U Λ Uᵀ`` ``(..., k, k)``. Its derivative is Daleckii and
    Krein's, ``U (K ∘ UᵀdA U) Uᵀ`` with the divided differences K of ``λ₊``, which exist at
    repeated eigenvalues too, where those of the eigenvectors do not.

    Returns:
        the matrices ``(..., k, k)`` and how many eigenvalues of each are positive ``(...)``.

    """
    _, failures = torch.linalg.cholesky_ex(matrices.detach())
    if not failures.any():  # positive definite already, found at a twentieth of the cost
        return matrices, torch.full(matrices.shape[:-2], matrices.shape[-1])
    parts: Any = _PositivePart.apply(matrices)
    return parts


class _PositivePart(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrices)
        ranks = (values > 0).sum(-1)
        ctx.save_for_backward(values, vectors)
        ctx.mark_non_differentiable(ranks)
        return (vectors * values.clamp(min=0)[..., None, :]) @ vectors.mT, ranks

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        row, column = values[..., :, None], values[..., None, :]
        same_side = (row > 0) == (column > 0)
        gap = torch.where(same_side, 1.0, row - column)
        divided = (row.clamp(min=0) - column.clamp(min=0)) / gap
        divided = torch.where(same_side, (row > 0).to(values), divided)
        inner = vectors.mT @ gradients[0] @ vectors
        return vectors @ (divided * (inner + inner.mT) / 2) @ vectors.mT
