"""Model Breadcrumbs with the election of TIES."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .breadcrumbs import without_outliers
from .consensus import SignMethod, add_agreeing
from .registry import merge_method


@merge_method(paper="arXiv:2312.06795; arXiv:2306.01708")
def breadcrumbs_ties(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float] = 1.0,
    gamma: float | Sequence[float] = 0.01,
    majority_sign_method: SignMethod = "total",
    normalize: bool = False,
    lambda_: float = 1.0,
) -> Tensor:
    """``θ + λ Σ_{i agrees} w_i τ̃_i``: small elements and outliers dropped, then one sign summed.

    Drops as :func:`breadcrumbs` does; elects and sums as :func:`ties` does. Differs from
    mergekit's where these do.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign. All 0: the base.
        density: share of the elements kept, in (0, 1], for all experts or each.
        gamma: share of the elements dropped as outliers, in [0, 1), for all experts or each.
        majority_sign_method: ``total`` or ``frequency``, see :func:`ties`.
        normalize: a mean weighted with ``|w_i|`` instead of the sum.
        lambda_: mergekit's ``lambda``, a factor of the merged difference.

    Raises:
        ConfigError: a number out of range, or an unknown ``majority_sign_method``.

    """
    return add_agreeing(
        base,
        without_outliers(deltas, weights, density=density, gamma=gamma),
        majority_sign_method=majority_sign_method,
        normalize=normalize,
        lambda_=lambda_,
    )
