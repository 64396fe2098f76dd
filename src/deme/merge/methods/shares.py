"""Weights as shares of a mean, for the methods whose result lies among the experts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...errors import ConfigError


def normalised(method: str, weights: Sequence[float]) -> list[float]:
    """``w_i / Σ w``; all 0 where the weights are, which leaves the base as it is.

    Raises:
        ConfigError: a weight is negative or not finite.

    """
    for weight in weights:
        if not (weight >= 0 and math.isfinite(weight)):
            raise ConfigError(
                f"{method} takes a mean, which has no meaning for the weight {weight}",
                fix="give weights of 0 or more, or use task_arithmetic, which takes any sign",
            )
    total = sum(weights)
    return [weight / total if total > 0 else 0.0 for weight in weights]
