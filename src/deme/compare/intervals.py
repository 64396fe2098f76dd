"""Means, and paired differences with intervals, over seeds of training and of noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Values = Sequence[Sequence[float]]
"""For each training seed, a value for each noise seed."""


@dataclass(frozen=True)
class Difference:
    """A paired difference with a confidence interval.

    Attributes:
        mean: over all pairs.
        low: end of the interval, not a number where there is a single seed.
        high: the other end.
        over: ``training`` or ``noise``: which seeds the interval is over.
        seeds: how many of them.

    """

    mean: float
    low: float
    high: float
    over: str
    seeds: int

    def to_dict(self) -> dict[str, Any]:
        """For JSON; what is not a number is null."""
        ends = {"low": self.low, "high": self.high}
        plain = {name: None if math.isnan(value) else value for name, value in ends.items()}
        return {"mean": self.mean, **plain, "over": self.over, "seeds": self.seeds}


def mean_and_deviation(values: Values) -> tuple[float, float | None]:
    """The mean over all seeds, and the deviation over training seeds of the means over noise.

    With one training seed, and for a model that no training changes, the deviation is over the
    noise seeds; None where there is one of each.
    """
    means = [statistics.fmean(series) for series in values]
    series = means if len(set(means)) > 1 else list(values[0])
    return statistics.fmean(means), statistics.stdev(series) if len(series) > 1 else None


def paired_difference(first: Values, second: Values, confidence: float = 0.95) -> Difference:
    """``first − second``, pair by pair of (training seed, noise seed), with Student's t interval.

    The independent repetitions are the training seeds: noise seeds are shared, and averaging over
    them comes first. With one training seed the interval is over the noise seeds, and says nothing
    of another training; so it is where no training changes either arm, whose repetitions are one.

    Args:
        first: values of one arm.
        second: of another, with the same seeds.
        confidence: of the interval, in (0, 1).

    """
    differences = [
        [a - b for a, b in zip(one, other, strict=True)]
        for one, other in zip(first, second, strict=True)
    ]
    means = [statistics.fmean(series) for series in differences]
    trained = any(list(row) != list(rows[0]) for rows in (first, second) for row in rows)
    over = "training" if len(means) > 1 and trained else "noise"
    series = means if over == "training" else differences[0]
    mean = statistics.fmean(means)
    if len(series) < 2:
        return Difference(mean, math.nan, math.nan, over, len(series))
    from scipy.stats import t as student

    error = statistics.stdev(series) / math.sqrt(len(series))
    half = float(student.ppf(0.5 + confidence / 2, len(series) - 1)) * error
    return Difference(mean, mean - half, mean + half, over, len(series))
