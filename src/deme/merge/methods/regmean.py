"""Regression mean: the layer whose outputs are nearest to each expert's on that expert's inputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError, MismatchError
from .measured import measured_experts
from .registry import merge_method
from .shares import normalised
from .task_arithmetic import task_arithmetic


@merge_method(paper="arXiv:2212.09849", statistics="regmean")
def regmean(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    statistics: Sequence[Tensor | None],
    alpha: float = 0.9,
) -> Tensor:
    """``W = Σ w_i W_i G̃_i (Σ w_i G̃_i)⁻¹`` for a layer ``y = W x``, ``G_i`` the mean of ``x xᵀ``.

    With ``alpha = 1`` it minimises ``Σ w_i E_i‖W x − W_i x‖²`` over the inputs ``x`` that each
    expert meets (Eq. 2; the paper writes ``W`` transposed). ``G̃ = α G + (1 − α) diag(G)`` shrinks
    what is off the diagonal, which the paper found to generalise better (its Sec. 3.3).

    It is computed as the weighted mean ``τ̄`` plus ``Σ w_i (τ_i − τ̄) G̃_i (Σ w_i G̃_i)⁻¹``: equal
    experts come back as they are, and inputs that are always 0 leave the mean. ``α`` is taken to
    be at most ``1 − n·2⁻²³`` for ``n`` inputs, so that Gram matrices in float32 of fewer samples
    than inputs can be solved: directions that none has met are as with ``alpha = 0``.

    Convolutions are matrices ``(out, in·k·k)`` on unfolded patches. Where an expert was not
    measured, and for tensors with fewer than two axes, the result is the weighted mean.

    Args:
        base: ``θ``, any shape; it takes no part but for a weight of 0 everywhere.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i ≥ 0``; only their ratios count. All 0: the base.
        statistics: ``G_i`` ``(in·k·k, in·k·k)``, symmetric, positive semidefinite.
        alpha: ``α`` in [0, 1].

    Raises:
        ConfigError: a negative weight, ``alpha`` outside [0, 1], or not one of the statistics for
            each expert.
        MismatchError: statistics of another shape, or that are no Gram matrices.

    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"regmean: alpha = {alpha}", fix="give alpha in [0, 1], such as 0.9")
    shares = normalised("regmean", weights)
    mean = task_arithmetic(base, deltas, shares)
    features = base.numel() // max(1, base.shape[0]) if base.ndim > 1 else 0
    given = statistics if features else [None] * len(deltas)
    experts = measured_experts("regmean", deltas, shares, given, (features, features))
    if not experts:
        return mean
    alpha = min(alpha, 1 - features * torch.finfo(torch.float32).eps)
    center = sum(expert.share * expert.delta.flatten(1).double() for expert in experts)
    total = torch.zeros((features, features), dtype=torch.float64, device=base.device)
    apart = torch.zeros_like(base.flatten(1), dtype=torch.float64)
    for expert in experts:
        gram = expert.statistics.to(total, copy=True).mul_(expert.share)
        diagonal = gram.diagonal().clone()
        gram.mul_(alpha).diagonal().copy_(diagonal)
        total += gram
        apart += (expert.delta.flatten(1) - center) @ gram
    return mean.add_(_divided(apart, total).view_as(base))


def _divided(left: Tensor, gram: Tensor) -> Tensor:
    """``left · gram⁻¹`` with rows and columns scaled to a unit diagonal; inputs of 0 give 0."""
    scale = gram.diagonal().sqrt()
    scale = torch.where(scale > 0, scale, 1)
    correlation = gram / scale / scale[:, None]
    correlation.diagonal().fill_(1)
    factor, failed = torch.linalg.cholesky_ex(correlation)
    if int(failed):
        raise MismatchError(
            "These statistics are no Gram matrices: they are not positive semidefinite",
            fix="collect them again with deme statistics",
        )
    return torch.cholesky_solve((left / scale).mT, factor).mT / scale
