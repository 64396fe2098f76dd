"""Linear averaging: model soups."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from .arguments import participants, relative_weights
from .registry import merge_method
from .task_arithmetic import task_arithmetic


@merge_method(paper="arXiv:2203.05482", elementwise=True, linear=True)
def linear(
    base: Tensor, deltas: Sequence[Tensor], weights: Sequence[float], *, normalize: bool = True
) -> Tensor:
    """The weighted mean of the experts, ``Σ w_i θ_i / Σ w_i = θ + Σ w_i τ_i / Σ w_i``.

    Differs from mergekit's without ``normalize``: mergekit's ``Σ w_i θ_i`` scales the pretrained
    weights by ``Σ w_i``. Here the base has the rest of the weight, ``1 − Σ w_i``, which is
    :func:`task_arithmetic`.

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i``, of any sign. All 0: the base.
        normalize: divides by ``Σ w_i``; only the weights' ratios count then.

    Raises:
        ConfigError: the weights sum to 0 under ``normalize``, and some are not 0.

    """
    experts = participants(deltas, weights)
    given = [expert.weight for expert in experts]
    factors = relative_weights(given) if normalize else given
    return task_arithmetic(base, [expert.delta for expert in experts], factors)
