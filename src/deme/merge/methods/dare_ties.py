"""DARE with the election of TIES."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .consensus import SignMethod, add_agreeing
from .dare_linear import dropped
from .registry import merge_method


@merge_method(paper="arXiv:2311.03099; arXiv:2306.01708")
def dare_ties(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float] = 1.0,
    rescale: bool = True,
    majority_sign_method: SignMethod = "total",
    normalize: bool = False,
    lambda_: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """``θ + λ Σ_{i agrees} w_i τ̃_i``: elements dropped by chance, those of the elected sign summed.

    Drops and rescales as :func:`dare_linear` does, with the same masks for the same seed; elects
    and sums as :func:`ties` does. Differs from mergekit's where these do.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign. All 0: the base.
        density: chance to keep an element, in (0, 1], for all experts or each.
        rescale: divides what is kept by ``density``.
        majority_sign_method: ``total`` or ``frequency``, see :func:`ties`.
        normalize: a mean weighted with ``|w_i|`` instead of the sum.
        lambda_: mergekit's ``lambda``, a factor of the merged difference.
        seed: decides the masks, with an expert's place among the others.

    Raises:
        ConfigError: a density out of range, or an unknown ``majority_sign_method``.

    """
    return add_agreeing(
        base,
        dropped(deltas, weights, density=density, rescale=rescale, seed=seed),
        majority_sign_method=majority_sign_method,
        normalize=normalize,
        lambda_=lambda_,
    )
