"""DELLA: drop elements by chance and rank, elect a sign, average those that agree."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .consensus import SignMethod, add_agreeing
from .della_linear import pruned
from .registry import merge_method


@merge_method(paper="arXiv:2406.11617; arXiv:2306.01708")
def della(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float] = 1.0,
    epsilon: float | Sequence[float] = 0.15,
    rescale: bool = True,
    majority_sign_method: SignMethod = "total",
    normalize: bool = True,
    lambda_: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """``θ + λ mean_{i agrees} τ̃_i``: dropped by chance and rank, those of one sign averaged.

    Drops and rescales as :func:`della_linear` does, with the same masks for the same seed; elects
    and averages as :func:`ties` does. Differs from mergekit's where these do.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign; only their ratios count under ``normalize``. All 0: the base.
        density: mean chance to keep an element, in (0, 1], for all experts or each; 1 keeps all.
        epsilon: half of the chances' range, in [0, 1), for all experts or each.
        rescale: divides what is kept by its chance.
        majority_sign_method: ``total`` or ``frequency``, see :func:`ties`.
        normalize: a mean; otherwise the sum ``Σ w_i τ̃_i`` over those that agree.
        lambda_: mergekit's ``lambda``, a factor of the merged difference.
        seed: decides the masks, with an expert's place among the others.

    Raises:
        ConfigError: a number out of range, ``density ± epsilon`` not within (0, 1], or an unknown
            ``majority_sign_method``.

    """
    return add_agreeing(
        base,
        pruned(deltas, weights, density=density, epsilon=epsilon, rescale=rescale, seed=seed),
        majority_sign_method=majority_sign_method,
        normalize=normalize,
        lambda_=lambda_,
    )
