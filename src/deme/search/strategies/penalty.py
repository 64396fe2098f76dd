"""A finite value for candidates that have none, for optimisers that calculate with values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .rounds import Values


class Penalty:
    """Replaces ``inf`` by the worst finite value so far and the spread of all of them on top.

    So it is worse than all that is known, and no outlier that would flatten a model of the values.
    """

    def __init__(self) -> None:
        self.least: list[float] = []
        self.largest: list[float] = []

    def replace_infinite(self, values: Sequence[Values]) -> list[Values] | None:
        """The values of a round, all finite; None while an objective has had no finite value."""
        for each in values:
            self.least = self.least or [math.inf] * len(each)
            self.largest = self.largest or [-math.inf] * len(each)
            for i, value in enumerate(each):
                if math.isfinite(value):
                    self.least[i] = min(self.least[i], value)
                    self.largest[i] = max(self.largest[i], value)
        if not all(math.isfinite(value) for value in self.least):
            return None
        worse = [2 * high - low for low, high in zip(self.least, self.largest, strict=True)]
        return [
            tuple(
                value if math.isfinite(value) else instead
                for value, instead in zip(each, worse, strict=True)
            )
            for each in values
        ]
