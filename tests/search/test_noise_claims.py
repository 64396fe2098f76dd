"""What is said about noise, on a problem where the truth is known: optimism, pairing, intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from deme.search.noise import better_beyond_noise, paired_bootstrap, paired_error
from deme.search.objectives import FrechetObjective
from search.gaussian_problem import TABLE, GaussianProblem

FRESH = 100_000
"""Seeds from here on judge what the seeds below have chosen."""
PROBLEM = GaussianProblem(dimensions=3, experts=2, seed=2)
OBJECTIVE = FrechetObjective(PROBLEM.reference, TABLE)


@dataclass(frozen=True)
class Searches:
    """What exact searches on few images found, one element a seed, ``(seeds,)``.

    Attributes:
        optimism: value on fresh noise minus the value that was searched, of the weights found.
        excess: the same, less what the fresh noise adds to the truly best weights. It has the same
            mean, since their noise does not depend on what was chosen, and a fraction of the spread.
        lost: true value of the weights found minus that of the best.

    """

    optimism: Tensor
    excess: Tensor
    lost: Tensor


@cache
def searches(images: int, seeds: int) -> Searches:
    best = PROBLEM.optimum()
    rows = []
    for seed in range(seeds):
        found = PROBLEM.sample_optimum(images, seed, start=best.weights)
        both = [found.weights, best.weights]
        searched = PROBLEM.sample_value(both, images, seed)
        fresh = PROBLEM.sample_value(both, images, FRESH + seed) - searched
        lost = PROBLEM.population_value(found.weights) - best.value
        rows.append(torch.stack([fresh[0], fresh[0] - fresh[1], lost]))
    return Searches(*torch.stack(rows).unbind(1))


def standard_error(values: Tensor) -> float:
    return float(values.std()) / len(values) ** 0.5


def test_a_searched_value_is_optimistic() -> None:
    for images in (50, 400):
        found = searches(images, seeds=60)
        assert float(found.excess.mean()) > 4 * standard_error(found.excess)
    few = searches(50, seeds=60).optimism
    assert float(few.mean()) > 2 * standard_error(few)


def test_optimism_and_what_the_choice_loses_shrink_as_one_over_the_images() -> None:
    few, many = searches(50, seeds=60), searches(400, seeds=60)
    assert 5 < float(few.lost.mean() / many.lost.mean()) < 13
    assert 5 < float(few.excess.mean() / many.excess.mean()) < 13


def test_optimism_is_twice_what_the_choice_loses() -> None:
    """As for Takeuchi's and Akaike's criteria: once for the fit, once for the fresh noise."""
    found = searches(400, seeds=60)
    assert 1.5 < float(found.excess.mean() / found.lost.mean()) < 2.7


def test_a_distance_of_few_images_is_too_large_on_average_by_one_over_their_number() -> None:
    """So values on different numbers of images cannot be compared."""
    weights = PROBLEM.optimum().weights
    truth = float(PROBLEM.population_value(weights))
    bias = []
    for images in (50, 400):
        values = [float(PROBLEM.sample_value(weights, images, seed)) for seed in range(800)]
        bias.append(torch.tensor(values) - truth)
    assert float(bias[1].mean()) > 3 * standard_error(bias[1])
    assert 5 < float(bias[0].mean() / bias[1].mean()) < 13


def spread_ratio(apart: float, seeds: int = 100, images: int = 400) -> float:
    """Noise of a difference on noise of each candidate's own, over that on common noise."""
    best = torch.tensor(PROBLEM.optimum().weights)
    pair = torch.stack([best, best + apart / 2**0.5])
    values = torch.stack([PROBLEM.sample_value(pair, images, seed) for seed in range(seeds)])
    common = values[:, 0] - values[:, 1]
    own = values[:, 0] - values[:, 1].roll(1)
    return float(own.std() / common.std())


def test_common_noise_cancels_between_neighbours_in_proportion_to_their_distance() -> None:
    near, nearer = spread_ratio(0.1), spread_ratio(0.01)
    assert near > 3
    assert nearer / near == pytest.approx(10, rel=0.2)


@dataclass(frozen=True)
class Pair:
    """Two weights and how much better the first truly is."""

    first: tuple[float, float]
    second: tuple[float, float]

    @property
    def truth(self) -> float:
        first, second = PROBLEM.population_value([self.first, self.second]).tolist()
        return first - second

    def tables(self, images: int, seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return tuple(PROBLEM.tables(each, images, seed) for each in (self.first, self.second))


PAIRS = [Pair((0.5, 0.5), (0.55, 0.5)), Pair((0.0, 0.0), (1.0, 0.0)), Pair((1.3, -0.4), (0.2, 0.7))]


@pytest.mark.parametrize("pair", PAIRS)
def test_two_paired_errors_cover_the_true_difference_as_often_as_they_should(pair: Pair) -> None:
    covered, deviations = 0, []
    for seed in range(150):
        first, second = pair.tables(400, seed)
        difference = float(OBJECTIVE.value(first) - OBJECTIVE.value(second))
        error = paired_error(OBJECTIVE, first, second)
        covered += abs(difference - pair.truth) < 1.96 * error
        deviations.append((difference - pair.truth) / error)
    assert 0.895 <= covered / 150 <= 0.99  # binomial: 0.95 ± 3 · 0.018
    assert float(torch.tensor(deviations).std()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("pair", PAIRS)
def test_the_paired_bootstraps_interval_covers_the_true_difference(pair: Pair) -> None:
    covered = 0
    for seed in range(60):
        found = paired_bootstrap(OBJECTIVE, *pair.tables(200, seed), resamples=80, seed=seed)
        assert found.low < found.difference < found.high
        covered += found.low < pair.truth < found.high
    assert covered / 60 >= 0.86  # 0.95 less 3 · 0.028


def test_bootstrap_and_jackknife_agree() -> None:
    for pair in PAIRS:
        tables = pair.tables(400, 0)
        resampled = paired_bootstrap(OBJECTIVE, *tables, resamples=300).standard_error
        assert resampled == pytest.approx(paired_error(OBJECTIVE, *tables), rel=0.2)


def test_what_is_no_better_is_rarely_found_better_beyond_noise() -> None:
    """Two weights of the same true value: by chance alone, one side of two deviations, 2.3 %."""
    best = PROBLEM.optimum()
    found = 0
    for seed in range(200):
        twin = same_value(best.weights, best.value * 1.3)
        first, second = Pair(twin[0], twin[1]).tables(400, seed)
        found += better_beyond_noise(OBJECTIVE, first, second)
    assert found / 200 <= 0.023 + 3 * math.sqrt(0.023 * 0.977 / 200)


@cache
def same_value(
    center: tuple[float, ...], value: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Two weights on both sides of the centre along the first axis, of this true value."""
    ends = []
    for side in (-1.0, 1.0):
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            here = float(PROBLEM.population_value((center[0] + side * middle, center[1])))
            low, high = (middle, high) if here < value else (low, middle)
        ends.append((center[0] + side * low, center[1]))
    return ends[0], ends[1]
