"""Intervals hold what a metric is on average over other images, as often as they say."""

import math

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, DataError
from deme.metrics import (
    FeatureStatistics,
    FrechetReference,
    IntervalSettings,
    MetricSettings,
    MetricValue,
    compute_metrics,
    measure,
)
from deme.metrics.bootstrap import percentile_interval, recentred, standard_error

NOMINAL = IntervalSettings(level=0.9, resamples=60)


def rows(count: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, generator=draw, dtype=torch.float64) * scale + shift


def holds(values: list[MetricValue], truth: float) -> float:
    """The share of the intervals that hold the truth."""
    ends = [value.interval for value in values]
    return sum(end is not None and end[0] <= truth <= end[1] for end in ends) / len(ends)


def test_frechet_intervals_hold_the_closed_form_distance_at_the_nominal_rate() -> None:
    """Both distributions are known, and so is the distance: ``2·(0.5² + (1.3 − 1)²)``."""
    exact = FeatureStatistics(
        torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64), 10**9
    )
    reference = FrechetReference(exact)
    found = [
        measure(
            ["frechet"],
            None,
            rows(400, seed, 0.5, 1.3),
            reference=reference,
            allow_unknown=True,
            intervals=NOMINAL,
        )["frechet"]
        for seed in range(300)
    ]
    assert 0.86 <= holds(found, 2 * (0.25 + 0.09)) <= 0.94


def test_kid_intervals_hold_the_closed_form_discrepancy_at_the_nominal_rate() -> None:
    """``Σ_j C(3, j) (m_j − m'_j)²`` of the moments, in one dimension."""
    moments = [[1, 0, 1, 0], [1, 0.8, 1 + 0.64, 3 * 0.8 + 0.512]]
    pairs = zip(*moments, strict=True)
    truth = sum(math.comb(3, j) * (a - b) ** 2 for j, (a, b) in enumerate(pairs))
    settings = IntervalSettings(level=0.9, sampled="both")
    found = [
        measure(
            ["kid"],
            rows(300, 10_000 + seed)[:, :1],
            rows(250, seed, 0.8)[:, :1],
            intervals=settings,
        )["kid"]
        for seed in range(200)
    ]
    assert 0.84 <= holds(found, truth) <= 0.95


@pytest.mark.parametrize("name", ["precision", "recall", "density", "coverage"])
def test_subsets_intervals_are_as_wide_as_the_spread_over_fresh_images(name: str) -> None:
    real, normal = rows(100, 7), 1.645
    fresh = [compute_metrics([name], real, rows(80, 500 + s, 1.2))[name] for s in range(150)]
    found = [
        measure([name], real, rows(80, seed, 1.2), intervals=NOMINAL)[name].interval
        for seed in range(8)
    ]
    widths = torch.tensor([high - low for low, high in filter(None, found)])
    spread = float(torch.tensor(fresh).std())
    assert float(widths.mean()) / (2 * normal) == pytest.approx(spread, rel=0.3)


def test_the_frechet_influence_is_the_derivative_by_a_rows_weight() -> None:
    real, generated = rows(80, 1), rows(60, 2, 0.3, 1.2)
    reference = FrechetReference(FeatureStatistics.from_features(real))
    influence = reference.influence(generated)

    def weighted(weights: Tensor) -> float:
        mean = weights @ generated
        centred = generated - mean
        covariance = (centred.T * weights) @ centred * 60 / 59
        return reference.distance_of_moments(mean, covariance)

    step = 1e-6
    for row in (0, 17, 59):
        one = torch.full((60,), (1 - step) / 60, dtype=torch.float64)
        one[row] += step
        slope = (weighted(one) - weighted(torch.full((60,), 1 / 60, dtype=torch.float64))) / step
        assert float(influence[row]) == pytest.approx(slope, rel=1e-3, abs=1e-4)
    assert float(influence.sum()) == pytest.approx(0, abs=1e-9)


def test_the_frechet_error_counts_the_real_images_too_where_they_may_be_others() -> None:
    def ends(sampled: str) -> float:
        settings = IntervalSettings(sampled=sampled)  # pyright: ignore[reportArgumentType]
        found = measure(["frechet"], rows(200, 1), rows(200, 2, 0.5), intervals=settings)
        low, high = found["frechet"].interval or (0.0, 0.0)
        return high - low

    assert ends("both") == pytest.approx(2**0.5 * ends("generated"), rel=0.3)


def test_intervals_are_told_with_how_they_were_made() -> None:
    names = ["frechet", "kid", "recall"]
    found = measure(names, rows(60, 1), rows(50, 2), intervals=IntervalSettings(resamples=20))
    assert (
        "95 % interval, infinitesimal jackknife, over generated images"
        in found["frechet"].describe()
    )
    assert "unbiased, 100 subsets of at most 1000" in found["kid"].describe()
    assert "percentiles of 20 subsets of 37, over generated images" in found["recall"].describe()
    assert measure(names, rows(60, 1), rows(50, 2))["kid"].interval is None


def test_the_draws_are_seeded_and_too_few_images_have_no_interval() -> None:
    def interval(generated: int, **settings: object) -> tuple[float, float] | None:
        found = measure(
            ["recall"],
            rows(60, 1),
            rows(generated, 2, 1.0),
            intervals=IntervalSettings(resamples=20, **settings),  # pyright: ignore[reportArgumentType]
        )
        return found["recall"].interval

    assert interval(50) == interval(50) != interval(50, seed=1)
    assert interval(7) is None


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"level is 95"):
        IntervalSettings(level=95)
    with pytest.raises(ConfigError, match="1 subsets"):
        IntervalSettings(resamples=1)


def test_percentiles_are_taken_about_the_estimate() -> None:
    drawn = torch.arange(101, dtype=torch.float64)
    around = recentred(torch.tensor(7.0, dtype=torch.float64), drawn)
    assert percentile_interval(around, 0.9) == pytest.approx((7 - 45, 7 + 45))
    assert standard_error(drawn) == pytest.approx(float(drawn.std()) / 101**0.5)


def test_scores_read_probabilities_and_have_an_interval() -> None:
    def tables(seed: int) -> dict[str, Tensor]:
        own = rows(300, seed)
        return {"features": own, "probabilities": torch.cat([own, -own, 2 * own], 1).softmax(1)}

    settings = MetricSettings(inception_splits=2)
    found = measure(
        ["inception_score", "inception_score_unsplit"],
        tables(1),
        tables(2),
        settings=settings,
        intervals=IntervalSettings(sampled="both"),
    )
    for value in found.values:
        low, high = value.interval or (0.0, 0.0)
        assert 1 < low < value.value < high
        assert "over generated images" in value.describe()
    assert found["inception_score"].estimator == "2 splits"
    with pytest.raises(DataError, match="reads the table 'probabilities'"):
        measure(["inception_score"], rows(60, 1), rows(50, 2))
