"""A smaller table of time: the best that fewer numbers of ``t`` can say about an interval.

A U-Net makes ``c`` sinusoids of ``t`` and a linear map ``A f(t) + b`` of them. With ``k < c``
numbers in place of ``c``, sinusoids of the stock frequencies would lose most of what they say; a
learned table ``e(t)`` with a map ``V e(t) + m`` loses least where ``V`` is spanned by the first
``k`` singular vectors of ``A f(t) + b − m`` over the interval's timesteps (Eckart and Young, 1936).
"""

from __future__ import annotations

import torch
from diffusers import UNet2DModel
from torch import Tensor

from ..decouple import TimestepRange

SMALLEST = 1e-6
"""Singular values below this fraction of the first are rounding, and their column is left at 0."""


@torch.no_grad()
def time_table(
    network: UNet2DModel, width: int, timesteps: TimestepRange, total: int
) -> dict[str, Tensor]:
    """Weights of a learned table of ``width`` numbers for each ``t``, and of the map behind it.

    Each number has a mean square of 1 over the interval. Rows outside the interval are what the
    same map says best there.

    Args:
        network: the wider network.
        width: ``k``.
        timesteps: the interval on which as little as possible is lost.
        total: rows of the table.

    Returns:
        Tensors by their name in the network: ``(total, k)``, ``(D, k)`` and ``(D,)``.

    """
    linear = network.time_embedding.linear_1
    t = torch.arange(total, device=linear.weight.device)
    features = network.time_proj(t).double()
    mapped = features @ linear.weight.double().T
    if linear.bias is not None:
        mapped = mapped + linear.bias.double()
    inside = mapped[timesteps.low : timesteps.high]
    mean = inside.mean(0)
    _, values, directions = torch.linalg.svd(inside - mean, full_matrices=False)
    size = torch.zeros(width, dtype=torch.float64, device=mapped.device)
    basis = torch.zeros(width, mapped.shape[1], dtype=torch.float64, device=mapped.device)
    used = int((values[:width] > SMALLEST * values[0]).sum())
    size[:used] = values[:used] / len(timesteps) ** 0.5
    basis[:used] = directions[:used]
    table = (mapped - mean) @ basis.T / torch.where(size > 0, size, torch.inf)
    return {
        "time_proj.weight": table.float(),
        "time_embedding.linear_1.weight": (basis.T * size).float(),
        "time_embedding.linear_1.bias": mean.float(),
    }
