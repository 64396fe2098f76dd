"""Model Stock: how far to trust the experts' mean, from the angles between them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from .arguments import participants, relative_weights
from .registry import merge_method
from .span import combine, cosines, gram, one_row, rows_of_outputs

SINGULAR = 1e-6
"""A divisor below this has no finite answer: the base stays, as in mergekit."""


@merge_method(paper="arXiv:2403.19522")
def model_stock(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    filter_wise: bool = False,
) -> Tensor:
    """``θ + t Σ p_i τ_i``, ``t = N cos φ / (1 + (N − 1) cos φ)``, φ the mean angle between the τ_i.

    ``cos φ`` is the mean over all pairs of experts, of each tensor as one vector. For experts that
    are one point plus independent noise of one size, ``t`` brings their mean nearest to that point.
    The paper has equal weights. For others ``p_i = w_i / Σ w_j`` and ``N = 1 / Σ p_i²``, for which
    the same holds. Where ``cos φ < 0`` it goes against the experts' mean, as mergekit does.

    Differs from mergekit's in two ways. Cosines are exact for short vectors, where mergekit
    divides by 1e-6 at least: for two τ of norm 1e-4 it finds a hundredth of their cosine. And with
    ``filter_wise`` a convolution has one ``t`` for each filter, as in the paper, where mergekit
    has one for each line of the kernel.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``; at least two.
        weights: ``w_i``, of any sign; only their ratios count. All 0: the base.
        filter_wise: one ``t`` for each output instead of one for the tensor.

    Raises:
        ConfigError: one expert alone, or weights that sum to 0 where some are not 0.

    """
    experts = participants(deltas, weights)
    if not experts:
        return base.clone()
    if len(experts) < 2:
        raise ConfigError(
            "model_stock compares experts, and got one of a weight other than 0",
            fix="give at least two such experts",
        )
    theta, *taus = [
        rows_of_outputs(tensor) if filter_wise else one_row(tensor)
        for tensor in (base, *(expert.delta for expert in experts))
    ]
    p = torch.tensor(
        relative_weights([expert.weight for expert in experts]),
        dtype=torch.float64,
        device=base.device,
    )
    t = interpolation_ratio(gram(taus), count=float(1 / p.square().sum())).unsqueeze(1)
    return combine(theta, taus, torch.cat([torch.ones_like(t), t * p], dim=1)).reshape(base.shape)


def interpolation_ratio(products: Tensor, count: float) -> Tensor:
    """``t`` for each row ``(rows,)``, from the inner products ``(rows, N, N)`` of the τ_i."""
    number = products.shape[-1]
    first, second = torch.triu_indices(number, number, offset=1)
    cosine = cosines(products)[:, first, second].mean(dim=1)
    divisor = 1 + (count - 1) * cosine
    return torch.where(divisor.abs() < SINGULAR, 0.0, count * cosine / divisor)
