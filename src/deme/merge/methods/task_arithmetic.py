"""Task arithmetic: the weighted sum of differences."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .registry import merge_method


@merge_method(paper="arXiv:2212.04089; as Eq. 8 of arXiv:2410.06664", elementwise=True, linear=True)
def task_arithmetic(base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """``θ + Σ w_i τ_i`` (Eq. 8). Weights may have any sign and need not sum to one.

    A weight of exactly 1 with all others 0 gives ``θ + τ``, which is the expert to rounding.
    """
    merged = base.clone()
    for delta, weight in zip(deltas, weights, strict=True):
        if weight != 0:
            merged.add_(delta, alpha=weight)
    return merged
