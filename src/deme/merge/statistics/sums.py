"""Sums over samples, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def empty_sum(shape: Sequence[int], device: torch.device) -> Tensor:
    """Float64 zeros on ``device``, or on the CPU for one without float64 (``mps``)."""
    kept_on = torch.device("cpu") if device.type == "mps" else device
    return torch.zeros(tuple(shape), dtype=torch.float64, device=kept_on)


def widened(tensor: Tensor, total: Tensor) -> Tensor:
    """``tensor`` in float64 where the sum is kept."""
    return tensor.to(total.device).to(total.dtype)
