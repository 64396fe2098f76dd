"""DELLA without election: drop elements by chance, small ones more often, then sum."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ...errors import ConfigError
from ...randomness import generator
from .arguments import densities, numbers_per_expert, participants
from .consensus import add_sum
from .registry import merge_method
from .span import rows_of_outputs
from .sparsify import Trimmed, ranked_factors


@merge_method(paper="arXiv:2406.11617")
def della_linear(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float] = 1.0,
    epsilon: float | Sequence[float] = 0.15,
    rescale: bool = True,
    normalize: bool = False,
    lambda_: float = 1.0,
    seed: int = 0,
) -> Tensor:
    """``θ + λ Σ w_i τ̃_i``, where a large element of ``τ_i`` is kept more often than a small one.

    Within each output's row the chance rises linearly with the rank by size, from
    ``density − epsilon`` to ``density + epsilon`` (mergekit's range; the paper's epsilon is twice
    as large). A row of one element is kept with ``density``.

    Differs from mergekit's in two ways. What is kept with the chance ``p`` is divided by ``p``, as
    the paper has it, so that the mean over seeds is task arithmetic's; mergekit 0.1.5 restores the
    tensor's sum of sizes. And a convolution's row is its filter; mergekit ranks along its second
    axis, the inputs at one position of the kernel.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign. All 0: the base.
        density: mean chance to keep an element, in (0, 1], for all experts or each; 1 keeps all.
        epsilon: half of the chances' range, in [0, 1), for all experts or each.
        rescale: divides what is kept by its chance.
        normalize: divides the sum by ``Σ w_i``.
        lambda_: mergekit's ``lambda``, a factor of the merged difference.
        seed: decides the masks, with an expert's place among the others.

    Raises:
        ConfigError: a number out of range, ``density ± epsilon`` not within (0, 1], or weights
            that sum to 0 under ``normalize``.

    """
    experts = pruned(deltas, weights, density=density, epsilon=epsilon, rescale=rescale, seed=seed)
    return add_sum(base, experts, normalize=normalize, lambda_=lambda_)


def pruned(
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    density: float | Sequence[float],
    epsilon: float | Sequence[float],
    rescale: bool,
    seed: int,
) -> list[Trimmed]:
    """The experts that take part, with their elements dropped by chance and rank."""
    shares = densities(density, len(deltas))
    ranges = numbers_per_expert(
        "epsilon", epsilon, len(deltas), lambda number: 0 <= number < 1, "from 0 to below 1"
    )
    experts = []
    for index, delta, weight in participants(deltas, weights):
        share, half = shares[index], ranges[index]
        if share < 1 and not (share - half > 0 and share + half <= 1):
            raise ConfigError(
                f"density {share} ± epsilon {half} is not within (0, 1]",
                fix=f"set epsilon below {min(share, 1 - share):.3g}, or density to 1",
            )
        draws = generator(seed, "della", index)
        factors = ranked_factors(rows_of_outputs(delta), share, half, draws, rescale=rescale)
        keep = None if factors is None else factors.reshape(-1)
        experts.append(Trimmed(delta.reshape(-1), weight, keep))
    return experts
