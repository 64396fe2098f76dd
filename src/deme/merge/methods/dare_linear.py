"""DARE: drop elements by chance, rescale the rest, then sum."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...randomness import generator
from .arguments import densities, participants
from .consensus import add_sum
from .registry import merge_method
from .sparsify import Trimmed, random_mask


@merge_method(paper="arXiv:2311.03099")
def dare_linear(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float] = 1.0,
    rescale: bool = True,
    normalize: bool = False,
    lambda_: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """``θ + λ Σ w_i τ̃_i``, where each element of ``τ_i`` is kept with the chance ``density``.

    What is kept is divided by ``density``, so that the mean over seeds is task arithmetic's.
    Differs from mergekit 0.1.5's ``rescale``, which restores the sum of sizes that the tensor had:
    there the mean of a small tensor shrinks, and a single element is never rescaled.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign. All 0: the base.
        density: chance to keep an element, in (0, 1], for all experts or each.
        rescale: divides what is kept by ``density``.
        normalize: divides the sum by ``Σ w_i``.
        lambda_: mergekit's ``lambda``, a factor of the merged difference.
        seed: decides the masks, with an expert's place among the others.

    Raises:
        ConfigError: a density out of range, or weights that sum to 0 under ``normalize``.

    """
    experts = dropped(deltas, weights, density=density, rescale=rescale, seed=seed)
    return add_sum(base, experts, normalize=normalize, lambda_=lambda_)


def dropped(
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float],
    rescale: bool,
    seed: int,
) -> list[Trimmed]:
    """The experts that take part, with their elements dropped by chance."""
    shares = densities(density, len(deltas))
    experts = []
    for index, delta, weight in participants(deltas, weights):
        share = shares[index]
        mask = random_mask(delta.numel(), share, generator(seed, "dare", index))
        keep = None if mask is None else mask.to(delta.device)
        experts.append(Trimmed(delta.reshape(-1), weight, keep, 1 / share if rescale else 1.0))
    return experts
