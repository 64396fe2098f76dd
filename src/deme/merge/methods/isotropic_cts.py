"""Isotropic merging that keeps a part of the space for what each expert has of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from .matrices import changes, leading_triplets, orthonormal_product
from .registry import merge_method
from .task_arithmetic import task_arithmetic


@merge_method(paper="arXiv:2502.04959 (Iso-CTS)")
def isotropic_cts(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    common: float = 0.8,
    scale: float = 1.0,
) -> Tensor:
    """``θ + s · σ̄ U Vᵀ`` on a common subspace and one of each expert (Iso-CTS).

    Of the ``r = min(out, in·k·k)`` directions, the leading ones of ``M = Σ w_i τ_i`` are common,
    ``U_c`` their left vectors; ``⌊(1 − common) r / N⌋`` belong to each expert, the leading ones of
    ``(I − U_c U_cᵀ) w_i τ_i``. All left vectors together are made orthonormal by their polar
    factor, all right ones likewise, and ``σ̄`` is the mean of all their singular values. With one
    expert, or ``common: 1``, this is ``isotropic``.

    Tensors with fewer than two axes, the scale and missing directions are as in ``isotropic``. N
    counts the experts that change the tensor. The published code rounds the number of directions
    to the nearest where this rounds down, so that the common part never gets less than its share.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, any sign.
        common: the common subspace's share of the directions, in [0, 1].
        scale: ``s``, on matrices alone.

    Raises:
        ConfigError: ``common`` is outside [0, 1].

    """
    if not 0 <= common <= 1:
        raise ConfigError(f"isotropic_cts: common = {common}", fix="give a share in [0, 1]")
    if base.ndim < 2:
        return task_arithmetic(base, deltas, weights)
    experts = changes(deltas, weights)
    if not experts:
        return base.clone()
    rank = min(base.flatten(1).shape)
    own = (rank - int(rank * common)) // len(experts)
    total = task_arithmetic(torch.zeros_like(base), deltas, weights).flatten(1).double()
    triplets = [leading_triplets(total, rank - own * len(experts))]
    shared = triplets[0][0]
    for expert in experts:
        matrix = expert.matrix()
        triplets.append(leading_triplets(matrix.sub_(shared @ (shared.mT @ matrix)), own))
    left, singular, right = (list(part) for part in zip(*triplets, strict=True))
    values = torch.cat(singular)
    flat = torch.full_like(values, scale * float(values.sum()) / max(1, len(values)))
    change = orthonormal_product(torch.cat(left, 1), flat, torch.cat(right))
    return base.add(change.view_as(base)).to(base.dtype)
