"""The interval of each metric: a formula where there is one, else subsets of the rows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

from .bootstrap import (
    LEAST_ROWS,
    Interval,
    IntervalSettings,
    Rows,
    interval_of_error,
    standard_error,
    subsampled_interval,
)
from .cmmd import cmmd_error
from .detector import PROBABILITIES
from .frechet import FrechetReference
from .inputs import MetricInputs
from .kernel import kernel_distance_error
from .statistics import FeatureStatistics
from .table import Metric

JACKKNIFE = "infinitesimal jackknife"
HOEFFDING = "unbiased estimate ± its standard error"


def metric_interval(
    metric: Metric, inputs: MetricInputs, estimate: float, settings: IntervalSettings
) -> Interval | None:
    """The interval of one metric; None where there are too few images for one.

    Args:
        metric: the metric.
        inputs: its inputs.
        estimate: its value.
        settings: how intervals are made.

    Raises:
        DataError: the real images are to vary and only their statistics are known.

    """
    if len(inputs.generated) < LEAST_ROWS:
        return None
    if metric.reads == PROBABILITIES:  # no real image has a part in it
        settings = dataclasses.replace(settings, sampled="generated")
    formula = FORMULAS.get(metric.name)
    if formula is not None:
        error, method = formula(inputs, settings)
        if math.isfinite(error):
            return interval_of_error(estimate, error, settings, method)
        return None

    def of_rows(generated: Rows, real: Rows) -> float:
        return metric.compute(inputs.of_rows(generated, real))

    real = len(inputs.real) if settings.sampled == "both" else 0
    if settings.sampled == "both" and real < LEAST_ROWS:
        return None
    return subsampled_interval(of_rows, estimate, len(inputs.generated), real, settings)


def frechet_error(inputs: MetricInputs, settings: IntervalSettings) -> tuple[float, str]:
    """By the infinitesimal jackknife; see :meth:`.frechet.FrechetReference.influence`."""
    error = standard_error(inputs.reference.influence(inputs.generated))
    if settings.sampled == "both":
        mirrored = FrechetReference(FeatureStatistics.from_features(inputs.generated))
        error = math.hypot(error, standard_error(mirrored.influence(inputs.real)))
    return error, JACKKNIFE


def kid_error(inputs: MetricInputs, settings: IntervalSettings) -> tuple[float, str]:
    """Of the unbiased estimate, with what its subsets add."""
    error = kernel_distance_error(
        inputs.real,
        inputs.generated,
        inputs.subset_discrepancies,
        subset_size=inputs.settings.subset_size,
        seed=inputs.settings.subset_seed,
        sampled=settings.sampled,
    )
    return error, HOEFFDING


def embedding_error(inputs: MetricInputs, settings: IntervalSettings) -> tuple[float, str]:
    """Of the unbiased CMMD."""
    error = cmmd_error(inputs.real, inputs.generated, seed=settings.seed, sampled=settings.sampled)
    return error, HOEFFDING


def score_error(inputs: MetricInputs, settings: IntervalSettings) -> tuple[float, str]:
    """Of the mean over splits."""
    return inputs.inception_score.standard_error, JACKKNIFE


def whole_score_error(inputs: MetricInputs, settings: IntervalSettings) -> tuple[float, str]:
    """Of all images at once."""
    return inputs.inception_score.unsplit_error, JACKKNIFE


FORMULAS: dict[str, Callable[[MetricInputs, IntervalSettings], tuple[float, str]]] = {
    "frechet": frechet_error,
    "sfid": frechet_error,
    "kid": kid_error,
    "cmmd": embedding_error,
    "inception_score": score_error,
    "inception_score_unsplit": whole_score_error,
}
"""Standard errors that need no resampling, by the metric's name."""
