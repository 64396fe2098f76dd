"""Interpolation of many differences on a hypersphere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .arguments import participants, relative_weights
from .registry import merge_method
from .span import combine, cosines, gram, one_row

BALANCED = 1e-8
"""A mean direction shorter than this is taken for 0, as mergekit does."""


@merge_method(paper="https://goddard.blog/posts/multislerp-wow-what-a-cool-idea")
def multislerp(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    normalize_weights: bool = True,
) -> Tensor:
    """``θ + |Σ w_i ‖τ_i‖| · m / ‖m‖``, ``m = Σ w_i τ_i / ‖τ_i‖``: mean direction, mean length.

    mergekit moves on from ``m / ‖m‖`` along the weighted sum of the experts' tangents there, which
    is ``m − ‖m‖ (m / ‖m‖) = 0`` for any weights: the one step is all. Each tensor is one vector.

    Where the directions cancel, ``‖m‖ < 1e-8``, it is ``θ + Σ w_i τ_i``. Differs from mergekit's
    there, which does so for two experts and fails for more, even where all ``τ_i`` are 0. Differs
    too where ``Σ w_i ‖τ_i‖`` is negative: a length has no sign, which would turn the direction.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign. All 0: the base.
        normalize_weights: divides them by their sum; only their ratios count then.

    Raises:
        ConfigError: the weights sum to 0 under ``normalize_weights``, and some are not 0.

    """
    experts = participants(deltas, weights)
    if not experts:
        return base.clone()
    given = [expert.weight for expert in experts]
    numbers = relative_weights(given) if normalize_weights else given
    taus = [one_row(expert.delta) for expert in experts]
    w = torch.tensor(numbers, dtype=torch.float64, device=base.device)
    coefficients = torch.cat([torch.ones_like(w[:1]), on_sphere(gram(taus)[0], w)])
    return combine(one_row(base), taus, coefficients.unsqueeze(0)).reshape(base.shape)


def on_sphere(products: Tensor, w: Tensor) -> Tensor:
    """Coefficients ``(N,)`` of the ``τ_i``, from their inner products ``(N, N)``."""
    norms = products.diagonal().sqrt()
    mean_norm = (w @ cosines(products) @ w).clamp(min=0).sqrt()
    if not bool(mean_norm >= BALANCED):
        return w
    length = (w @ norms).abs() / mean_norm
    return torch.where(norms > 0, length * w / norms, 0.0)
