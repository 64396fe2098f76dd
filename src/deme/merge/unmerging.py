"""Undoing a linear merge: with all experts but one, the merged weights give that one back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, MismatchError
from .methods import MERGE_METHODS, RegisteredMethod


def require_linear(method: RegisteredMethod) -> None:
    """Checks that a merge with this method can be undone.

    Raises:
        ConfigError: it cannot; the message lists the methods whose merges can.

    """
    if not method.linear:
        raise ConfigError(
            f"A merge with {method.name} cannot be undone: its result is not a sum of the experts' "
            "differences",
            choices=[name for name, known in sorted(MERGE_METHODS.items()) if known.linear],
            fix="undo merges of these methods, or keep the experts with `deme compress`",
        )


def coefficients(
    method: RegisteredMethod, weights: Sequence[float], parameters: Mapping[str, Any] | None = None
) -> tuple[float, ...]:
    """The ``c_i`` of a linear method's result ``θ + Σ c_i τ_i``.

    They are read off the method itself, which is given ``θ = 0`` and the unit vectors as ``τ_i``:
    its result then is the vector ``(c_1, …, c_N)``.

    Args:
        method: one that is registered as ``linear``.
        weights: one number per expert.
        parameters: what else the method is given.

    Raises:
        ConfigError: the method is not linear, or refuses these numbers.

    """
    require_linear(method)
    count = len(weights)
    units = torch.eye(count, dtype=torch.float64)
    zero = torch.zeros(count, dtype=torch.float64)
    result = method.function(zero, list(units), list(weights), **(parameters or {}))
    return tuple(result.tolist())


def unmerge_tensor(
    base: Tensor,
    merged: Tensor,
    other_deltas: Sequence[Tensor],
    other_coefficients: Sequence[float],
    coefficient: float,
) -> Tensor:
    """``τ_k = (θ_merged − θ − Σ_{i≠k} c_i τ_i) / c_k``, computed in float64.

    What is computed here adds nothing to the error. It comes from the merge, which was rounded
    when it was stored: with ``ε`` half the spacing of its dtype's numbers at 1 (``2⁻²⁴`` for
    float32, ``2⁻⁹`` for bfloat16) and each of a merge's N additions rounded likewise, an element
    of ``τ_k`` is off by at most about ``N·ε·|θ| / |c_k|``. For float32 weights around 0.05 and
    ``c_k`` = 0.25 that is 1e-8 an addition. A merge that was exported in half precision gives back
    little: its ``ε·|θ|`` is as large as ``τ`` itself.

    Args:
        base: ``θ``, any shape.
        merged: ``θ_merged``, as ``base``.
        other_deltas: ``τ_i`` of the other experts, as ``base``.
        other_coefficients: their ``c_i``; see :func:`coefficients`.
        coefficient: ``c_k`` of the expert that is wanted.

    Returns:
        ``τ_k``: float32, of the base's shape, newly made.

    Raises:
        ConfigError: ``c_k`` is 0, or not one coefficient for each of the others.
        MismatchError: tensors of different shapes.

    """
    if coefficient == 0:
        raise ConfigError(
            "The coefficient of this expert in the merge is 0: it left no trace there",
            fix="choose an expert whose weight was not 0",
        )
    if len(other_deltas) != len(other_coefficients):
        raise ConfigError(
            f"{len(other_deltas)} other experts need {len(other_deltas)} coefficients, not "
            f"{len(other_coefficients)}"
        )
    for tensor in (merged, *other_deltas):
        if tensor.shape != base.shape:
            raise MismatchError(
                f"Tensors of one merge have the shapes {tuple(base.shape)} and "
                f"{tuple(tensor.shape)}"
            )
    change = merged.double() - base.double()
    for delta, factor in zip(other_deltas, other_coefficients, strict=True):
        if factor != 0:  # an expert that took no part may hold anything, even NaN
            change.sub_(delta.double(), alpha=factor)
    return change.div_(coefficient).float()
