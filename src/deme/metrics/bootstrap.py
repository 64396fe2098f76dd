"""Intervals of a metric over other images: from a standard error, or from subsets of the rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from ..errors import ConfigError, DataError
from ..randomness import generator
from .discrepancy import SampledSides

Rows = Tensor | None
"""Indices of rows; None: all."""
LEAST_ROWS = 8


@dataclass(frozen=True)
class IntervalSettings:
    """How intervals are made.

    Attributes:
        level: how often the interval holds what the metric is on average over other images of as
            many, in (0, 1).
        sampled: whose images might have been others.
        resamples: subsets drawn, where there is no formula.
        most_rows: the most generated images of a subset; a matter of time.
        seed: of the drawing.

    Raises:
        ConfigError: values out of their range.

    """

    level: float = 0.95
    sampled: SampledSides = "generated"
    resamples: int = 100
    most_rows: int = 2000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1:
            raise ConfigError(f"An interval's level is {self.level}", fix="give 0.95, say")
        if self.resamples < 2 or self.most_rows < LEAST_ROWS // 2:
            raise ConfigError(
                f"{self.resamples} subsets of at most {self.most_rows} rows give no interval",
                fix=f"give at least 2 resamples and most_rows of at least {LEAST_ROWS // 2}",
            )


@dataclass(frozen=True)
class Interval:
    """Two ends, and how they were made.

    Attributes:
        low: the lower end.
        high: the upper end.
        level: the share of intervals made so that hold what they should.
        method: in a few words.

    """

    low: float
    high: float
    level: float
    method: str

    def describe(self) -> str:
        """Level and method in a line."""
        return f"{100 * self.level:g} % interval, {self.method}"


def interval_of_error(
    estimate: float, error: float, settings: IntervalSettings, method: str
) -> Interval:
    """``estimate ± z·error``, z the normal quantile of the level."""
    reach = NormalDist().inv_cdf((1 + settings.level) / 2) * error
    method = f"{method}, {_sampled(settings)}"
    return Interval(estimate - reach, estimate + reach, settings.level, method)


def standard_error(influence: Tensor) -> float:
    """``√(Σ (g − ḡ)² / n(n − 1))`` of what each of n rows ``(n,)`` moves an estimate by."""
    count = len(influence)
    return math.sqrt(float(influence.double().var()) / count) if count > 1 else math.nan


def subsampled_interval(
    statistic: Callable[[Rows, Rows], float],
    estimate: float,
    generated: int,
    real: int,
    settings: IntervalSettings,
) -> Interval:
    """The percentile interval from subsets of the rows, drawn without replacement.

    The bootstrap's rows are drawn with replacement (Efron 1979), and a row drawn twice is its own
    nearest neighbour: it ruins every metric of neighbours and biases those of pairs. Of a share φ
    of the rows without replacement a metric spreads ``√((1 − φ)/φ)`` times as far as of all of them
    over other images, to first order, so the spread is divided by that (Politis, Romano & Wolf
    1999, chapter 2). It is taken about its own mean and put around the estimate, for a metric of
    fewer rows is another on average. Three quarters of the rows are drawn where they are few: a
    metric of neighbours spreads otherwise at a much smaller count. The interval of a fraction near
    0 or 1 is somewhat too narrow.

    Args:
        statistic: the metric of some generated and some real rows.
        estimate: of all rows.
        generated: how many generated rows there are.
        real: how many real rows; not used where real images are fixed.
        settings: how many subsets of how many rows, and whose.

    Raises:
        DataError: fewer than 8 rows.

    """
    sets = (generated, real) if settings.sampled == "both" else (generated,)
    if min(sets) < LEAST_ROWS:
        raise DataError(
            f"{min(sets)} images are too few for an interval",
            fix=f"use at least {LEAST_ROWS}",
        )
    kept = min(3 * generated // 4, settings.most_rows)
    share = kept / generated
    values = []
    for index in range(settings.resamples):
        draw = generator(settings.seed, "subsampled interval", index)
        rows = torch.randperm(generated, generator=draw)[:kept]
        others = None
        if settings.sampled == "both":
            others = torch.randperm(real, generator=draw)[: max(round(share * real), 2)]
        values.append(statistic(rows, others))
    drawn = torch.tensor(values, dtype=torch.float64) * math.sqrt(share / (1 - share))
    around = recentred(torch.tensor(estimate, dtype=torch.float64), drawn)
    low, high = percentile_interval(around, settings.level)
    method = f"percentiles of {settings.resamples} subsets of {kept}, {_sampled(settings)}"
    return Interval(low, high, settings.level, method)


def recentred(estimate: Tensor, drawn: Tensor) -> Tensor:
    """Resampled values ``(R,)`` moved so that their mean is the estimate: their bias taken off."""
    return estimate + drawn - drawn.mean()


def percentile_interval(values: Tensor, level: float) -> tuple[float, float]:
    """The ends between which the middle share ``level`` of the values ``(R,)`` lies."""
    tail = (1 - level) / 2
    return float(values.quantile(tail)), float(values.quantile(1 - tail))


def _sampled(settings: IntervalSettings) -> str:
    both = settings.sampled == "both"
    return f"over {'generated and real' if both else 'generated'} images"
