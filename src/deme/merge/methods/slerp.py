"""Spherical linear interpolation from the base to one expert."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from .registry import merge_method
from .span import combine, cosines, gram, one_row

PARALLEL = 0.9995
"""Cosines of a greater size are taken for 1, as mergekit does."""


@merge_method(paper="Shoemake 1985, doi:10.1145/325334.325242")
def slerp(base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """``(sin((1 − t)φ) θ + sin(tφ) θ_1) / sin φ``, with φ between θ and θ_1, each as one vector.

    The weight is ``t``. Where ``|cos φ| > 0.9995`` it is ``θ + t τ``: so it is task arithmetic for
    nearly every tensor of an expert finetuned from this base.

    Differs from mergekit's where θ or θ_1 is 0 and so has no direction: here ``θ + t τ``, where
    mergekit assumes a right angle and gives ``sin(tπ/2) θ_1``.

    Args:
        base: ``θ``, any shape.
        deltas: one ``τ``, as ``base``.
        weights: one ``t``; 0 is the base, 1 the expert.

    Raises:
        ConfigError: not exactly one expert.

    """
    if len(deltas) != 1:
        raise ConfigError(
            f"slerp goes from the base to one expert, and got {len(deltas)}",
            fix="merge two experts with nuslerp, more with multislerp or karcher",
        )
    t = float(weights[0])
    theta, tau = one_row(base), one_row(deltas[0])
    coefficients = torch.tensor([interpolation(gram([tau], theta)[0], t)], dtype=torch.float64)
    return combine(theta, [tau], coefficients.to(base.device)).reshape(base.shape)


def interpolation(products: Tensor, t: float) -> tuple[float, float]:
    """Coefficients of θ and τ, from the inner products ``(2, 2)`` of θ and θ_1."""
    cosine = float(cosines(products)[0, 1])
    if abs(cosine) > PARALLEL or not bool((products.diagonal() > 0).all()):
        return 1.0, t
    angle = math.acos(cosine)
    of_expert = math.sin(t * angle) / math.sin(angle)
    return math.sin((1 - t) * angle) / math.sin(angle) + of_expert, of_expert
