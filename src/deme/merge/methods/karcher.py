"""The Karcher mean: the point on the sphere with the least squared angles to the experts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from .arguments import BALANCED, participants, relative_weights
from .registry import merge_method
from .span import combine, cosines, gram, one_row

OPPOSITE = 1e-7
"""Sines below this, at a cosine of −1, leave no shortest way to an expert."""


@merge_method(paper="Karcher 1977, doi:10.1002/cpa.3160300502")
def karcher(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    max_iter: int = 10,
    tol: float = 1e-5,
) -> Tensor:
    """``Σ w_i ‖θ_i‖ · μ``, with μ on the unit sphere at the least ``Σ w_i angle(μ, θ_i)²``.

    Each tensor of the experts' weights ``θ_i = θ + τ_i`` is one vector. It begins at their mean
    direction and goes ``Σ w_i log_μ(u_i)`` at each step, all in the span of the directions
    ``u_i = θ_i / ‖θ_i‖``: a step costs their ``N × N`` cosines and not a pass over the weights.

    Differs from mergekit's in two ways. Experts are weighted; mergekit's all count the same, as
    they do here where all weights are equal. And a tensor counts as 0 where it is, not where its
    norm is below ``tol``: mergekit sets a bias of norm 1e-6 to 0.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign; only their ratios count. All 0: the base.
        max_iter: steps at most, at least 1.
        tol: ends at a step shorter than this many radians; above 0.

    Raises:
        ConfigError: ``max_iter`` or ``tol`` out of range, or weights that sum to 0 where some are
            not 0.

    """
    if max_iter < 1 or not tol > 0:
        raise ConfigError(
            f"karcher got max_iter {max_iter} and tol {tol}",
            fix="give max_iter of at least 1 and tol above 0",
        )
    experts = participants(deltas, weights)
    if not experts:
        return base.clone()
    theta, taus = one_row(base), [one_row(expert.delta) for expert in experts]
    w = torch.tensor(relative_weights([expert.weight for expert in experts]), dtype=torch.float64)
    of_experts = karcher_coefficients(gram(taus, theta)[0, 1:, 1:].cpu(), w, max_iter, tol)
    coefficients = torch.cat([of_experts.sum().unsqueeze(0), of_experts]).unsqueeze(0)
    return combine(theta, taus, coefficients.to(base.device)).reshape(base.shape)


def karcher_coefficients(products: Tensor, w: Tensor, max_iter: int, tol: float) -> Tensor:
    """Coefficients ``(N,)`` of the ``θ_i``, from their inner products ``(N, N)`` and weights."""
    norms = products.diagonal().sqrt()
    present = (norms > 0).nonzero().flatten()
    total = w[present].sum()
    if not bool(total.abs() > BALANCED):  # no direction is nearest to the experts that have one
        return w
    cosine = cosines(products)[present][:, present]
    mean = mean_direction(cosine, w[present] / total, max_iter, tol)
    coefficients = torch.zeros_like(w)
    coefficients[present] = (w @ norms) * mean / norms[present]
    return coefficients


def mean_direction(cosine: Tensor, w: Tensor, max_iter: int, tol: float) -> Tensor:
    """μ's coordinates ``(N,)`` in unit vectors ``u_i`` with these cosines ``(N, N)``."""
    mean = w if _length(w, cosine) >= tol else torch.eye(len(w), dtype=w.dtype)[0]
    mean = mean / _length(mean, cosine)
    for _ in range(max_iter):
        dots = (cosine @ mean).clamp(-1, 1)
        angles = dots.acos()
        reached = (angles >= tol) & (angles.sin() > OPPOSITE)
        pull = torch.where(reached, w * angles / angles.sin(), 0.0)
        tangent = pull - (pull @ dots) * mean
        length = _length(tangent, cosine)
        if length < tol:
            break
        mean = mean * length.cos() + tangent * (length.sin() / length)
        mean = mean / _length(mean, cosine)
    return mean


def _length(coordinates: Tensor, cosine: Tensor) -> Tensor:
    return (coordinates @ cosine @ coordinates).clamp(min=0).sqrt()
