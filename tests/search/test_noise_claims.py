"""What is said about noise, on a problem where the truth is known: optimism, pairing, intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from torch import Tensor

from deme.search.evaluation import Evaluation
from deme.search.noise import better_beyond_noise, paired_bootstrap, paired_error
from deme.search.objectives import FrechetObjective
from deme.search.space import Box
from deme.search.strategies import HalvingStrategy, RandomStrategy
from search.gaussian_problem import TABLE, GaussianProblem

FRESH = 100_000
"""Seeds from here on judge what the seeds below have chosen."""
SEEDS = 50
PROBLEM = GaussianProblem(dimensions=2, experts=2, seed=2, steps=5)
OBJECTIVE = FrechetObjective(PROBLEM.reference, TABLE)


@dataclass(frozen=True)
class Searches:
    """What exact searches on few images found, one element a seed, ``(seeds,)``.

    Attributes:
        optimism: value on fresh noise minus the value that was searched, of the weights found.
        excess: the same, less what the fresh noise adds to the truly best weights. Its mean is the
            same, since their noise does not depend on what was chosen, and it spreads far less.
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
        found = searches(images, seeds=SEEDS)
        assert float(found.excess.mean()) > 4 * standard_error(found.excess)
        plain = found.optimism - found.excess
        assert abs(float(plain.mean())) < 3 * standard_error(plain)


def test_optimism_and_what_the_choice_loses_shrink_as_one_over_the_images() -> None:
    few, many = searches(50, seeds=SEEDS), searches(400, seeds=SEEDS)
    assert 5 < float(few.lost.mean() / many.lost.mean()) < 13
    assert 5 < float(few.excess.mean() / many.excess.mean()) < 13


def test_optimism_is_twice_what_the_choice_loses() -> None:
    """As for Takeuchi's and Akaike's criteria: once for the fit, once for the fresh noise."""
    found = searches(400, seeds=SEEDS)
    assert 1.5 < float(found.excess.mean() / found.lost.mean()) < 2.7


def test_a_distance_of_few_images_is_too_large_on_average_by_one_over_their_number() -> None:
    """So values on different numbers of images cannot be compared."""
    weights = PROBLEM.optimum().weights
    truth = float(PROBLEM.population_value(weights))
    bias = []
    for images in (50, 400):
        values = [float(PROBLEM.sample_value(weights, images, seed)) for seed in range(600)]
        bias.append(torch.tensor(values) - truth)
    assert float(bias[1].mean()) > 3 * standard_error(bias[1])
    assert 5 < float(bias[0].mean() / bias[1].mean()) < 13


def spread_ratio(apart: float, seeds: int = 80, images: int = 400) -> float:
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
        first = PROBLEM.tables(self.first, images, seed)
        return first, PROBLEM.tables(self.second, images, seed)


PAIRS = [Pair((0.5, 0.5), (0.55, 0.5)), Pair((0.0, 0.0), (1.0, 0.0)), Pair((1.3, -0.4), (0.2, 0.7))]


@pytest.mark.parametrize("pair", PAIRS)
def test_two_paired_errors_cover_the_true_difference_as_often_as_they_should(pair: Pair) -> None:
    covered, deviations = 0, []
    for seed in range(100):
        first, second = pair.tables(400, seed)
        difference = float(OBJECTIVE.value(first) - OBJECTIVE.value(second))
        error = paired_error(OBJECTIVE, first, second)
        covered += abs(difference - pair.truth) < 1.96 * error
        deviations.append((difference - pair.truth) / error)
    assert covered / 100 >= 0.885  # 0.95 less 3 · 0.022
    assert float(torch.tensor(deviations).std()) == pytest.approx(1, abs=0.2)


def test_the_paired_bootstraps_interval_covers_the_true_difference() -> None:
    covered, pair = 0, PAIRS[1]
    for seed in range(40):
        found = paired_bootstrap(OBJECTIVE, *pair.tables(200, seed), resamples=60, seed=seed)
        covered += found.low < pair.truth < found.high
    assert covered / 40 >= 0.84  # 0.95 less 3 · 0.034


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


def best_survives(seed: int, *, common: bool) -> bool:
    """Whether the truly best of 16 neighbours is drawn in full by a halving from 100 images."""
    best = PROBLEM.optimum().weights
    around = Box(tuple(w - 0.3 for w in best), tuple(w + 0.3 for w in best))
    drawn = RandomStrategy(around, 16, batch=16, seed=seed)
    strategy = HalvingStrategy(drawn, (100, 300), 900)
    places: list[tuple[float, ...]] = []
    finalists: set[tuple[float, ...]] = set()
    while proposals := strategy.ask():
        told = []
        for proposal in proposals:
            if proposal.candidate not in places:
                places.append(proposal.candidate)
            own = seed if common else 1000 * (seed + 1) + places.index(proposal.candidate)
            images = proposal.images or 0
            value = float(PROBLEM.sample_value(proposal.candidate, images, own))
            told.append(Evaluation(proposal.candidate, images, (value,)))
        finalists |= {each.candidate for each in told if each.images == 900}
        strategy.tell(told)
    return places[int(PROBLEM.population_value(places).argmin())] in finalists


def test_halving_on_common_noise_keeps_the_best() -> None:
    common = sum(best_survives(seed, common=True) for seed in range(20)) / 20
    own = sum(best_survives(seed, common=False) for seed in range(20)) / 20
    assert common >= 0.75  # 0.9 of 60, and 0.6 where every candidate has noise of its own
    assert common > own + 0.1
