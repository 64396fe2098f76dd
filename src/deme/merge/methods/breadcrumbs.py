"""Model Breadcrumbs: drop small elements and outliers, then sum."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .arguments import densities, numbers_per_expert, participants
from .consensus import add_sum
from .registry import merge_method
from .sparsify import Trimmed, breadcrumbs_mask


@merge_method(paper="arXiv:2312.06795")
def breadcrumbs(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float] = 1.0,
    gamma: float | Sequence[float] = 0.01,
    normalize: bool = False,
    lambda_: float = 1.0,
) -> Tensor:
    """``θ + λ Σ w_i τ̃_i``, where ``τ̃_i`` has neither the largest nor the smallest elements.

    Of ``n`` elements by size, the ``⌊gamma · n⌋`` largest go, the next ``⌊density · n⌋`` stay and
    the others go. A density of 1 keeps all. Differs from mergekit's for few elements: at least
    one is kept, as in :func:`ties`, where mergekit would drop a tensor of one element.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign. All 0: the base.
        density: share of the elements kept, in (0, 1], for all experts or each.
        gamma: share of the elements dropped as outliers, in [0, 1), for all experts or each; less
            is dropped where ``density + gamma > 1``.
        normalize: divides the sum by ``Σ w_i``.
        lambda_: mergekit's ``lambda``, a factor of the merged difference.

    Raises:
        ConfigError: a number out of range, or weights that sum to 0 under ``normalize``.

    """
    experts = without_outliers(deltas, weights, density=density, gamma=gamma)
    return add_sum(base, experts, normalize=normalize, lambda_=lambda_)


def without_outliers(
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float],
    gamma: float | Sequence[float],
) -> list[Trimmed]:
    """The experts that take part, without their largest and smallest elements."""
    shares = densities(density, len(deltas))
    outliers = numbers_per_expert(
        "gamma", gamma, len(deltas), lambda number: 0 <= number < 1, "from 0 to below 1"
    )
    experts = []
    for index, delta, weight in participants(deltas, weights):
        flat = delta.reshape(-1)
        mask = breadcrumbs_mask(flat, shares[index], outliers[index])
        experts.append(Trimmed(flat, weight, mask))
    return experts
