"""``τ = θ_expert − θ`` of one tensor, as every merge takes it."""

from __future__ import annotations

import torch
from torch import Tensor


def as_expert_stores(base: Tensor, dtype: torch.dtype) -> Tensor:
    """``θ`` rounded to the dtype of an expert; NaN, whose bits no rounding defines, becomes 0."""
    if base.dtype == dtype:
        return base
    rounded = base.to(dtype)
    return torch.where(rounded.isnan(), torch.zeros_like(rounded), rounded)


def difference(expert: Tensor, base: Tensor) -> Tensor:
    """``τ``: float32, of the base's shape, newly made.

    A half-precision expert is compared with ``θ`` as it would store it, so that weights that
    training left alone give exactly 0.

    Args:
        expert: the expert's tensor as stored.
        base: ``θ`` as stored.

    """
    if expert.dtype.itemsize < torch.float32.itemsize and expert.dtype.is_floating_point:
        base = base.to(expert.dtype)
    return torch.sub(expert.float(), base.float())
