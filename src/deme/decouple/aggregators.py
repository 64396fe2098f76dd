"""One direction out of the gradients of several tasks, as weights on them.

Every rule here is a function of the gradients' inner products ``G = J Jᵀ`` alone, so that it never
sees the network: :class:`~deme.decouple.game.Game` measures ``G`` and applies the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, MissingExtraError

Aggregator = Callable[[Tensor], Tensor]
"""From ``G`` float64 ``(K, K)`` on the CPU to weights ``(K,)`` on the K gradients."""

CAGRAD_C = 0.4
"""Radius of CAGrad's ball, as its paper's experiments have it (Liu et al., arXiv:2110.14048)."""
RIDGE = 1e-9
"""Added to Nash-MTL's cosines, so that opposite gradients have a solution too."""
_TORCHJD = {
    "pcgrad": "PCGradWeighting",
    "cagrad": "CAGradWeighting",
    "upgrad": "UPGradWeighting",
    "imtl_g": "IMTLGWeighting",
    "mgda": "MGDAWeighting",
    "aligned_mtl": "AlignedMTLWeighting",
}
AGGREGATORS = ("nash_mtl", *_TORCHJD, "mean")


def make_aggregator(name: str) -> Aggregator:
    """The rule called ``name``; all but ``nash_mtl`` and ``mean`` are torchjd's.

    Each gives a direction of the size of a mean of the gradients: PCGrad and Nash-MTL, which are
    defined as sums, are divided by K as in ANT's published code. PCGrad visits the tasks in an
    order from torch's global generator.

    Raises:
        ConfigError: the name is unknown.
        MissingExtraError: torchjd, or a solver that the rule needs, is not installed.

    """
    if name == "mean":
        return lambda gramian: _equal(gramian)
    if name == "nash_mtl":
        return lambda gramian: nash_weights(gramian) / len(gramian)
    if name not in _TORCHJD:
        raise ConfigError(f"Unknown aggregator {name!r}", choices=AGGREGATORS, given=name)
    settings: dict[str, Any] = {"c": CAGRAD_C} if name == "cagrad" else {}
    try:
        from torchjd import aggregation

        if name == "upgrad":
            from .dual_cone import NonNegativeProjector

            settings = {"projector": NonNegativeProjector()}
        weighting = getattr(aggregation, _TORCHJD[name])(**settings)
    except ImportError as error:
        raise MissingExtraError(f"multitask.method: {name}", "torchjd", "baselines") from error
    if name == "pcgrad":
        return lambda gramian: weighting(gramian) / len(gramian)
    return weighting


def task_weights(aggregator: Aggregator, gramian: Tensor) -> Tensor:
    """The aggregator's weights for the tasks whose gradient is not zero; 0 for the others.

    Gradients that are not finite are left to the loop, which stops on them: all weights are equal.
    """
    if not bool(gramian.isfinite().all()):
        return _equal(gramian)
    weights = gramian.new_zeros(len(gramian))
    there = gramian.diagonal() > 0
    if bool(there.any()):
        weights[there] = aggregator(gramian[there][:, there])
    return weights


def nash_weights(gramian: Tensor) -> Tensor:
    """Nash-MTL's bargaining solution ``α > 0`` of ``Gα = 1/α`` (Navon et al., arXiv:2202.01017).

    Those are the optimality conditions of ``½ αᵀGα − Σ log α_i``, which is strictly convex and
    self-concordant: Newton's method, damped while it is far, finds the one solution from any start
    to the last digits. (The published code and torchjd's follow a sequence of approximate problems
    from the step before; their solution depends on history and can be far off.)

    Args:
        gramian: inner products of the tasks' gradients, none of them zero, float64 ``(K, K)``.

    """
    scale = gramian.diagonal().rsqrt()
    cosines = scale[:, None] * gramian * scale[None, :]
    cosines = cosines + RIDGE * torch.eye(len(gramian), dtype=gramian.dtype)
    beta = torch.full_like(scale, len(scale) ** -0.5)
    for _ in range(200):
        slope = cosines @ beta - 1 / beta
        step = torch.linalg.solve(cosines + torch.diag(beta**-2), slope)
        decrement = float((slope @ step).clamp(min=0).sqrt())
        beta = beta - step / (1 + decrement if decrement > 0.25 else 1)
        if decrement < 1e-9:
            break
    return beta * scale


def _equal(gramian: Tensor) -> Tensor:
    return torch.full_like(gramian.diagonal(), 1 / len(gramian))
