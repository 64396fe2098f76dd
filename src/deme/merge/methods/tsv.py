"""Task singular vectors: each expert's leading directions, made not to interfere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .matrices import changes, leading_triplets, orthonormal_product
from .registry import merge_method
from .task_arithmetic import task_arithmetic


@merge_method(paper="arXiv:2412.00081 (TSV-M)")
def tsv(
    base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float], *, scale: float = 1.0
) -> Tensor:
    """``θ + s · Û Σ V̂ᵀ`` from the leading singular triplets of each ``w_i τ_i`` (TSV-M).

    Each of the N experts keeps its ``⌊min(out, in·k·k) / N⌋`` largest singular values, at least
    one. ``Û`` is the polar factor of all their left vectors side by side, ``V̂`` of the right
    ones: of all matrices with orthonormal columns the nearest to them (Procrustes). The weights
    scale the singular values. Convolutions are matrices ``(out, in·k·k)``; tensors with fewer than
    two axes are merged by task arithmetic, without the scale. The paper has weights of 1, scales
    all by ``α`` and averages what is no matrix: that is ``scale: N`` with each weight ``α/N``.

    N counts the experts that change the tensor, those of weight 0 not among them: so one expert
    alone with weight 1 comes back whole. Directions that several experts share exactly, which
    leave the vectors side by side without full rank, are averaged; there the published code's
    result depends on arbitrary vectors.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, any sign.
        scale: ``s``, on matrices alone.

    """
    if base.ndim < 2:
        return task_arithmetic(base, deltas, weights)
    experts = changes(deltas, weights)
    if not experts:
        return base.clone()
    count = max(1, min(base.flatten(1).shape) // len(experts))
    triplets = [leading_triplets(expert.matrix(), count) for expert in experts]
    left, singular, right = (list(part) for part in zip(*triplets, strict=True))
    change = orthonormal_product(torch.cat(left, 1), torch.cat(singular), torch.cat(right))
    return base.add(change.mul_(scale).view_as(base)).to(base.dtype)
