"""Sums of differences: of all experts, or element by element of those that agree in sign."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from ...errors import ConfigError
from .arguments import relative_weights
from .sparsify import Trimmed, blocks

SignMethod = Literal["total", "frequency"]


def add_sum(base: Tensor, experts: Sequence[Trimmed], *, normalize: bool, lambda_: float) -> Tensor:
    """``θ + λ Σ w_i τ̃_i``, divided by ``Σ w_i`` under ``normalize``; newly made.

    Raises:
        ConfigError: the weights sum to 0 under ``normalize``.

    """
    weights = [expert.weight for expert in experts]
    factors = relative_weights(weights) if normalize else weights
    merged = flat_copy(base)
    for place in blocks(merged.numel()):
        for expert, factor in zip(experts, factors, strict=True):
            merged[place].add_(expert.block(place, factor * lambda_))
    return merged.view(base.shape)


def add_agreeing(
    base: Tensor,
    experts: Sequence[Trimmed],
    *,
    majority_sign_method: SignMethod,
    normalize: bool,
    lambda_: float,
    shares: Sequence[float] | None = None,
) -> Tensor:
    """``θ + λ Σ_{i agrees} s_i v_i`` with ``v_i = sign(w_i) τ̃_i``; newly made.

    At each element the experts elect a sign, and those whose ``v_i`` has it are summed:
    TIES-Merging, arXiv:2306.01708, "elect" and "disjoint merge". Where ``normalize``, the sum is
    divided by the ``s_i`` of those that agree, so that it is their weighted mean.

    Args:
        base: ``θ``.
        experts: their ``τ̃_i`` and ``w_i``.
        majority_sign_method: what elects: the sign of ``Σ |w_i| v_i`` (``total``), or that of more
            experts (``frequency``); a draw is positive.
        normalize: see above.
        lambda_: a factor of the whole.
        shares: ``s_i``, not negative; ``|w_i|`` where not given.

    Raises:
        ConfigError: unknown ``majority_sign_method``.

    """
    if majority_sign_method not in get_args(SignMethod):
        raise ConfigError(
            f"Unknown majority_sign_method {majority_sign_method!r}",
            choices=get_args(SignMethod),
            given=str(majority_sign_method),
        )
    votes = [abs(expert.weight) for expert in experts]
    shares = votes if shares is None else shares
    merged = flat_copy(base)
    for place in blocks(merged.numel()) if experts else ():
        vectors = [expert.block(place, -1.0 if expert.weight < 0 else 1.0) for expert in experts]
        sign = elected_sign(vectors, votes, majority_sign_method)
        merged[place].addcmul_(disjoint_sum(vectors, sign, shares, normalize), sign, value=lambda_)
    return merged.view(base.shape)


def elected_sign(
    vectors: Sequence[Tensor], votes: Sequence[float], majority_sign_method: SignMethod
) -> Tensor:
    """+1 or −1 for each element: the sign of ``Σ votes_i v_i``, or of ``Σ sign(v_i)``; 0 is +1."""
    total = torch.zeros_like(vectors[0])
    for vector, vote in zip(vectors, votes, strict=True):
        if majority_sign_method == "total":
            total.add_(vector, alpha=vote)
        else:
            total.add_(vector.sign())
    return (total >= 0).to(total.dtype).mul_(2).sub_(1)


def disjoint_sum(
    vectors: Sequence[Tensor], sign: Tensor, shares: Sequence[float], normalize: bool
) -> Tensor:
    """``Σ s_i |v_i|`` over those that have the sign, or their mean; changes the vectors."""
    total, share_sum = torch.zeros_like(sign), torch.zeros_like(sign)
    for vector, share in zip(vectors, shares, strict=True):
        size = vector.mul_(sign).clamp_(min=0)
        total.add_(size, alpha=share)
        if normalize:
            share_sum.add_(size > 0, alpha=share)
    if normalize:
        total.div_(share_sum.masked_fill_(share_sum == 0, 1))
    return total


def flat_copy(tensor: Tensor) -> Tensor:
    """The elements in order, in memory of their own."""
    return tensor.clone(memory_format=torch.contiguous_format).view(-1)
