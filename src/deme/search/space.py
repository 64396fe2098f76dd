"""Where merging weights are looked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import ConfigError

Candidate = tuple[float, ...]
"""One weight per expert."""
DIGITS = 10
"""Candidates are rounded to this many decimals, so that equal ones compare equal."""


@dataclass(frozen=True)
class Box:
    """Bounds ``low_i ≤ w_i ≤ high_i``; nothing makes the weights sum to one or be positive.

    Args:
        low: a lower bound per expert.
        high: an upper bound per expert.

    Raises:
        ConfigError: bounds that are empty, not finite, or of different lengths.

    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        """Checks the bounds."""
        if len(self.low) != len(self.high) or any(
            not -math.inf < low < high < math.inf
            for low, high in zip(self.low, self.high, strict=False)
        ):
            raise ConfigError(
                f"The search bounds {self.low} and {self.high} are not a box",
                fix="give bounds [low, high] with low < high",
            )

    @classmethod
    def cube(cls, bounds: tuple[float, float], dimensions: int) -> Box:
        """The same bounds for every weight."""
        return cls((bounds[0],) * dimensions, (bounds[1],) * dimensions)

    @property
    def dimensions(self) -> int:
        """Number of weights."""
        return len(self.low)

    def clip(self, weights: Sequence[float]) -> Candidate:
        """The nearest candidate inside, rounded."""
        inside = (
            min(max(weight, low), high)
            for weight, low, high in zip(weights, self.low, self.high, strict=True)
        )
        return tuple(round(weight, DIGITS) + 0.0 for weight in inside)
