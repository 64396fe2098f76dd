"""SCE: select where experts differ, calculate their shares, erase minority signs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .arguments import numbers_per_expert, participants
from .consensus import add_agreeing
from .registry import merge_method
from .sparsify import Trimmed, blocks, size_band


@merge_method(paper="arXiv:2408.07990")
def sce(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    select_topk: float = 1.0,
) -> Tensor:
    """``θ + mean_{i agrees} τ̃_i``, weighted with each expert's mean square of what is selected.

    Select: of the elements at which the experts differ, the share ``select_topk`` with the largest
    variance among them. Calculate: ``s_i = w_i · mean(τ̃_i²)``. Erase: at each element only those
    count that have the sign of ``Σ w_i τ̃_i``, positive where this is 0.

    Differs from mergekit's in three ways. Experts have weights; those of mergekit all count the
    same, as they do here where all weights are equal. A negative one turns the expert's vector. No
    mean square is too small: mergekit takes equal shares where they sum to less than 1e-6, as
    those of a finetuned model do, and shrinks what experts of less than a millionth say alone.
    And nothing is selected from one expert alone, whose variance is 0; mergekit drops it all.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign; only their ratios count. All 0: the base.
        select_topk: share of the elements selected, in (0, 1].

    Raises:
        ConfigError: ``select_topk`` out of range.

    """
    (share,) = numbers_per_expert(
        "select_topk", select_topk, 1, lambda number: 0 < number <= 1, "above 0 and at most 1"
    )
    experts = participants(deltas, weights)
    if not experts:
        return base.clone()
    taus = [expert.delta.reshape(-1) for expert in experts]
    signs = [-1.0 if expert.weight < 0 else 1.0 for expert in experts]
    keep = selected(taus, signs, share) if share < 1 and len(experts) > 1 else None
    trimmed = [Trimmed(tau, expert.weight, keep) for tau, expert in zip(taus, experts, strict=True)]
    squares = torch.stack([_sum_of_squares(expert) for expert in trimmed])
    shares = squares * torch.tensor([abs(expert.weight) for expert in experts])
    shares /= shares.sum().clamp(min=torch.finfo(shares.dtype).tiny)
    return add_agreeing(
        base,
        trimmed,
        majority_sign_method="total",
        normalize=True,
        lambda_=1.0,
        shares=shares.tolist(),
    )


def selected(taus: Sequence[Tensor], signs: Sequence[float], share: float) -> Tensor | None:
    """The share of those elements at which the variance is not 0 where it is largest: a mask.

    None where that is all elements.
    """
    variance = torch.empty_like(taus[0])
    for place in blocks(variance.numel()):
        vectors = [tau[place] * sign for tau, sign in zip(taus, signs, strict=True)]
        mean = sum(vectors[1:], vectors[0]) / len(vectors)  # torch.var along so few is far slower
        squares = [vector.sub_(mean).square_() for vector in vectors]
        variance[place] = sum(squares[1:], squares[0]) / len(vectors)
    different = int(variance.count_nonzero())
    kept = int(different * share)
    if kept == 0:
        return torch.zeros_like(variance, dtype=torch.bool)
    return size_band(variance, variance.numel() - kept, variance.numel())


def _sum_of_squares(expert: Trimmed) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for place in blocks(expert.delta.numel()):
        block = expert.block(place, 1.0).double()
        total += (block @ block).cpu()
    return total
