"""Spherical interpolation between the differences of two experts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from .arguments import participants, relative_weights
from .registry import merge_method
from .span import combine, cosines, gram, one_row, rows_of_outputs

PARALLEL = 1e-6
"""Squared sines below this are taken for 0."""


@merge_method(paper="mergekit, https://github.com/arcee-ai/mergekit")
def nuslerp(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    nuslerp_flatten: bool = True,
    nuslerp_row_wise: bool = False,
) -> Tensor:
    """``θ + (sin((1 − t)φ) τ_1 + sin(tφ) τ_2) / sin φ``, with φ between τ_1 and τ_2.

    The differences are interpolated, as mergekit does where a base model is given, and
    ``t = w_2 / (w_1 + w_2)``. Where they are parallel, opposite, or one of them is 0, it is
    ``θ + (1 − t) τ_1 + t τ_2``.

    Differs from mergekit's in three ways. A difference of 0 has no direction, where mergekit
    assumes a right angle to the other. Opposite is ``sin² φ < 1e-6`` and not below float32's
    rounding, which mergekit's result is divided by. And without ``nuslerp_flatten`` a
    convolution's vector is its filter, where mergekit takes each line of the kernel.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_1`` and ``τ_2``, as ``base``.
        weights: ``w_1`` and ``w_2``, of any sign; only their ratio counts. Both 0: the base.
        nuslerp_flatten: each tensor is one vector; otherwise there is one for each output.
        nuslerp_row_wise: without ``nuslerp_flatten``: one for each input instead, along the
            outputs.

    Raises:
        ConfigError: not exactly two experts, or weights that sum to 0.

    """
    if len(deltas) != 2:
        raise ConfigError(
            f"nuslerp goes from one expert to another, and got {len(deltas)}",
            fix="merge one expert with slerp, more than two with multislerp or karcher",
        )
    if not participants(deltas, weights):
        return base.clone()
    t = relative_weights(weights)[1]
    along_outputs = nuslerp_row_wise and not nuslerp_flatten and base.dim() > 1
    tensors = [one_row(x) if nuslerp_flatten else rows_of_outputs(x) for x in (base, *deltas)]
    theta, *taus = [rows.T for rows in tensors] if along_outputs else tensors
    between = interpolations(gram(taus), t)
    merged = combine(theta, taus, torch.cat([torch.ones_like(between[:, :1]), between], dim=1))
    return (merged.T if along_outputs else merged).reshape(base.shape)


def interpolations(products: Tensor, t: float) -> Tensor:
    """Coefficients ``(rows, 2)`` of ``τ_1`` and ``τ_2``, from inner products ``(rows, 2, 2)``."""
    cosine = cosines(products)[:, 0, 1]
    zero = (products.diagonal(dim1=-2, dim2=-1) == 0).any(dim=-1)
    straight = zero | (1 - cosine.square() < PARALLEL)
    angle = torch.acos(cosine)
    curved = torch.stack([((1 - t) * angle).sin(), (t * angle).sin()], dim=1)
    curved /= angle.sin().unsqueeze(1)
    linear = torch.tensor([1 - t, t], dtype=products.dtype, device=products.device)
    return torch.where(straight.unsqueeze(1), linear, curved)
