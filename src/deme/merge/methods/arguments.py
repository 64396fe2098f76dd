"""What merge methods check of the numbers they are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import NamedTuple

from torch import Tensor

from ...errors import ConfigError

BALANCED = 1e-9
"""A sum of weights this small beside the sum of their sizes is 0."""


class Participant(NamedTuple):
    """An expert that takes part in a merge."""

    position: int
    """Its place among all experts."""
    delta: Tensor
    """``τ_i``."""
    weight: float
    """``w_i``, not 0."""


def participants(deltas: Sequence[Tensor], weights: Sequence[float]) -> list[Participant]:
    """The experts whose weight is not 0; the others drop out of the merge altogether."""
    return [
        Participant(position, delta, float(weight))
        for position, (delta, weight) in enumerate(zip(deltas, weights, strict=True))
        if weight != 0
    ]


def relative_weights(weights: Sequence[float]) -> list[float]:
    """``w_i / Σ w_j``. Without any weight, nothing.

    Raises:
        ConfigError: the weights sum to 0.

    """
    total = math.fsum(weights)
    if weights and abs(total) <= BALANCED * math.fsum(map(abs, weights)):
        raise ConfigError(
            f"The weights {list(weights)} sum to 0 and so cannot be made to sum to 1",
            fix="give weights with another sum, or set normalize to false where the method has it",
        )
    return [weight / total for weight in weights]


def numbers_per_expert(
    name: str,
    value: float | Sequence[float],
    count: int,
    valid: Callable[[float], bool],
    expected: str,
) -> list[float]:
    """``value`` for each of ``count`` experts, given once for all or once for each.

    Args:
        name: of the parameter, for messages.
        value: what was given.
        count: how many experts there are.
        valid: whether one number is.
        expected: which numbers are valid, for messages.

    Raises:
        ConfigError: not a number, not valid, or not one for each expert.

    """
    given = [value] * count if isinstance(value, Real) else value
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise ConfigError(
            f"{name} is {value!r}", choices=[expected], fix="give a number, or one for each expert"
        )
    if len(given) != count:
        raise ConfigError(
            f"{name} has {len(given)} values for {count} experts",
            fix="give one number for all experts, or one for each",
        )
    for number in given:
        if isinstance(number, bool) or not isinstance(number, Real) or not valid(float(number)):
            raise ConfigError(
                f"{name} is {number!r}", choices=[expected], fix=f"set {name} to such a number"
            )
    return [float(number) for number in given]


def densities(density: float | Sequence[float], count: int) -> list[float]:
    """The share of its elements that each of ``count`` experts keeps, in (0, 1].

    Raises:
        ConfigError: see :func:`numbers_per_expert`.

    """
    return numbers_per_expert(
        "density", density, count, lambda share: 0 < share <= 1, "above 0 and at most 1"
    )
