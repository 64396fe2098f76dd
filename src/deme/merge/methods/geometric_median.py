"""The geometric median: the point with the least sum of distances to the experts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from .registry import merge_method
from .shares import normalised
from .task_arithmetic import task_arithmetic

TOUCHING = 1e-7
"""Below this share of the largest distance, a point counts as lying on an expert: distances come
from squares, which leaves them half of float64's digits."""


@merge_method(paper="Weiszfeld 1937; Vardi & Zhang 2000, doi:10.1073/pnas.97.4.1423")
def geometric_median(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    tol: float = 1e-8,
    max_iter: int = 1000,
) -> Tensor:
    """``θ + argmin_μ Σ w_i ‖τ_i − μ‖₂``, of each tensor as one vector.

    The median lies among the experts, so it is ``Σ c_i τ_i`` with ``Σ c_i = 1``, and Weiszfeld's
    iteration runs on the ``c_i`` with nothing but the experts' distances to one another. It begins
    at the weighted mean; where it meets an expert, Vardi and Zhang's step leads away from it
    unless the median is there. The base is none of the points. An expert with more than half of
    the total weight is the median.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i ≥ 0``; only their ratios count. All 0: the base.
        tol: the iteration ends at a step shorter than this share of the largest distance.
        max_iter: it ends after so many steps in any case.

    Raises:
        ConfigError: a negative weight, ``tol`` not above 0, or ``max_iter`` below 1.

    """
    if not tol > 0 or max_iter < 1:
        raise ConfigError(
            f"geometric_median: tol = {tol}, max_iter = {max_iter}",
            fix="give tol above 0 and max_iter of at least 1",
        )
    shares = torch.tensor(normalised("geometric_median", weights), dtype=torch.float64)
    taking_part = shares.nonzero().flatten()
    squares = _squared_distances([deltas[i] for i in taking_part.tolist()])
    coefficients = torch.zeros_like(shares)
    coefficients[taking_part] = _weiszfeld(squares, shares[taking_part], tol, max_iter)
    return task_arithmetic(base, deltas, coefficients.tolist())


def _squared_distances(points: Sequence[Tensor]) -> Tensor:
    """``‖τ_i − τ_j‖²``, float64 ``(N, N)``."""
    squares = torch.zeros((len(points), len(points)), dtype=torch.float64)
    for i, first in enumerate(points):
        for j in range(i):  # float32 loses digits in a norm of millions of elements
            norm = torch.linalg.vector_norm(first - points[j], dtype=torch.float64)
            squares[i, j] = squares[j, i] = norm.square()
    return squares


def _weiszfeld(squares: Tensor, shares: Tensor, tol: float, max_iter: int) -> Tensor:
    """The median's coefficients ``c`` ``(N,)`` from squared distances ``(N, N)``."""
    reach = squares.max().sqrt() if len(shares) > 1 else shares.new_zeros(())
    if not bool(reach > 0):
        return shares
    for corner in torch.eye(len(shares), dtype=torch.float64):
        _, pull, held = _pull(squares, shares, corner, reach)
        if bool(held > pull * (1 + TOUCHING)):  # on a tie the mean decides, not the order
            return corner
    point = shares
    for _ in range(max_iter):
        target, pull, held = _pull(squares, shares, point, reach)
        free = 1 - (held / pull).nan_to_num(1.0).clamp(max=1)
        step = free * (target - point)
        point = point + step
        if bool(_length(squares, step) <= tol * reach):
            break
    return point


def _pull(
    squares: Tensor, shares: Tensor, point: Tensor, reach: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What acts on ``point``: Weiszfeld's next one, the force towards it, and what holds it back.

    The force is ``‖Σ w_i (τ_i − μ) / ‖τ_i − μ‖‖`` over the experts that are not at ``μ``; the
    weights of those that are hold it back.
    """
    to_point = squares @ point
    distance = (to_point - point @ to_point / 2).clamp(min=0).sqrt()
    apart = distance > TOUCHING * reach
    strength = torch.where(apart, shares / distance, 0)
    target = strength / strength.sum()
    force = strength.sum() * _length(squares, target - point)
    return target, force, shares[~apart].sum()


def _length(squares: Tensor, step: Tensor) -> Tensor:
    """``‖Σ s_i τ_i‖`` for coefficients that sum to 0."""
    return (-(step @ squares @ step) / 2).clamp(min=0).sqrt()
