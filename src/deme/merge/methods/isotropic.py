"""Isotropic merging: the summed change of a layer is made equally strong in all its directions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .matrices import polar_factor
from .registry import merge_method
from .task_arithmetic import task_arithmetic


@merge_method(paper="arXiv:2502.04959 (Iso-C)")
def isotropic(
    base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float], *, scale: float = 1.0
) -> Tensor:
    """``θ + s · σ̄ U Vᵀ``, where ``Σ w_i τ_i = U Σ Vᵀ`` and ``σ̄`` is the mean of ``Σ`` (Iso-C).

    Convolutions are matrices ``(out, in·k·k)``; tensors with fewer than two axes are merged by
    task arithmetic, without the scale. The paper sums matrices, averages the others and scales
    both by ``α``: that is ``scale: N`` with each weight ``α/N``.

    Where the sum has not full rank (low-rank adapters), only the directions that it has are made
    equal: a decomposition's vectors for the value 0 are arbitrary, and with them the published
    code's result is too.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, any sign.
        scale: ``s``, on matrices alone.

    """
    if base.ndim < 2:
        return task_arithmetic(base, deltas, weights)
    total = task_arithmetic(torch.zeros_like(base), deltas, weights)
    factor, singular = polar_factor(total.flatten(1).double())
    mean = singular.sum() / max(1, len(singular))
    return base.add(factor.mul_(scale * mean).view_as(base)).to(base.dtype)
