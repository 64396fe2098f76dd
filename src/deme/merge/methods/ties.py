"""TIES: trim by size, elect a sign, average those that agree."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .arguments import densities, participants
from .consensus import SignMethod, add_agreeing
from .registry import merge_method
from .sparsify import Trimmed, magnitude_mask


@merge_method(paper="arXiv:2306.01708")
def ties(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float] = 1.0,
    majority_sign_method: SignMethod = "total",
    normalize: bool = True,
    lambda_: float = 1.0,
) -> Tensor:
    """``θ + λ mean_{i agrees} τ̃_i``: trimmed by size, those of the elected sign averaged.

    Each ``τ_i`` keeps its ``⌊density · n⌋`` largest elements (at least one; among equals the later
    ones). The sign elected at an element is that of ``Σ w_i τ̃_i``, positive where this is 0. The
    mean is weighted with ``w_i``.

    Differs from mergekit's where weights are negative: a negative weight turns the expert's
    vector, and its part in the mean is ``|w_i|``, so that the divisor is a sum of sizes. mergekit
    divides by the signed sum: one expert at ``w = −1`` would come out as ``θ + τ``, and two
    weights that nearly cancel as a multiple of either expert.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign; only their ratios count under ``normalize``. All 0: the base.
        density: share of the elements kept, in (0, 1], for all experts or each.
        majority_sign_method: ``total``, or ``frequency``: the sign of more of the ``w_i τ̃_i``.
        normalize: a mean; otherwise the sum ``Σ w_i τ̃_i`` over those that agree.
        lambda_: mergekit's ``lambda``, a factor of the merged difference.

    Raises:
        ConfigError: a density out of range, or an unknown ``majority_sign_method``.

    """
    shares = densities(density, len(deltas))
    experts = []
    for index, delta, weight in participants(deltas, weights):
        flat = delta.reshape(-1)
        experts.append(Trimmed(flat, weight, magnitude_mask(flat, shares[index])))
    return add_agreeing(
        base,
        experts,
        majority_sign_method=majority_sign_method,
        normalize=normalize,
        lambda_=lambda_,
    )
