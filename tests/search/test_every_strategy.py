"""Every strategy finds the optimum of a Gaussian problem as precisely as its docstring says."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from deme.search import Box, Candidate, Evaluation, SearchConfig, Strategy, SurfaceStrategy
from deme.search.config import StrategyName
from deme.search.objectives import FrechetObjective
from deme.search.strategies import RandomStrategy, SobolStrategy, grid_size, make_strategy
from deme.search.strategies.gradient import GradientStrategy
from deme.search.strategies.surface import surface_budget
from search.gaussian_problem import TABLE, TIMESTEPS, GaussianProblem, run

IMAGES = 512
Found = tuple[float, int]
"""Largest error of a weight, in parts of the bounds' width, and evaluations beside the anchors."""


def search(strategy: Strategy, problem: GaussianProblem, images: int = IMAGES) -> Found:
    evaluations = run(strategy, problem, images)
    best = min(evaluations, key=lambda evaluation: evaluation.value)
    optimum = problem.sample_optimum(images)
    paid = len(evaluations) - len(problem.anchors)
    return largest_error(best.candidate, optimum.weights, problem.box), paid


def largest_error(candidate: Candidate, optimum: Candidate, box: Box) -> float:
    sides = zip(candidate, optimum, box.low, box.high, strict=True)
    return max(abs(found - best) / (high - low) for found, best, low, high in sides)


def named(name: StrategyName, problem: GaussianProblem, seed: int) -> Strategy:
    return make_strategy(SearchConfig(strategy=name, seed=seed), problem.box)


def nearly_quadratic(experts: int, seed: int, *, interacting: bool) -> GaussianProblem:
    """Weak experts: half a unit to either side of the optimum differs by a few parts in ten."""
    if interacting:
        return GaussianProblem(6, experts, seed, steps=20, strength=0.05)
    return GaussianProblem(4, experts, seed, steps=20, strength=0.03, interacting=False)


PRECISION: list[tuple[StrategyName, int, float]] = [
    ("grid", 2, 0.07),  # half of its last step, 1/8, and what is not quadratic in the problem
    ("grid", 4, 0.07),
    ("coordinate", 2, 0.015),  # its tolerance, 0.01, and the same
    ("coordinate", 4, 0.015),
    ("cmaes", 2, 0.1),
    ("cmaes", 4, 0.1),
    ("evolution", 2, 0.1),
    ("evolution", 4, 0.1),
    ("gp", 2, 0.05),
    ("tpe", 2, 0.15),
    ("tpe", 4, 0.15),
    ("nsga2", 2, 0.2),
    ("nsga2", 4, 0.2),
]


@pytest.mark.parametrize(("name", "experts", "precision"), PRECISION)
@pytest.mark.parametrize("seed", [0, 1])
def test_weights_that_do_not_interact_are_found_within_the_default_budget(
    name: StrategyName, experts: int, precision: float, seed: int
) -> None:
    problem = nearly_quadratic(experts, seed, interacting=False)
    strategy = named(name, problem, seed)
    budget = grid_size(3, experts, 2) if name == "grid" else strategy.expected_evaluations()
    error, evaluations = search(strategy, problem)
    assert error <= precision
    assert evaluations <= budget


@pytest.mark.parametrize("name", ["cmaes", "evolution"])
@pytest.mark.parametrize("experts", [2, 4])
def test_weights_that_interact_are_found_by_those_that_say_so(
    name: StrategyName, experts: int
) -> None:
    problem = nearly_quadratic(experts, 1, interacting=True)
    error, evaluations = search(named(name, problem, 0), problem)
    assert error <= 0.1
    assert evaluations <= 40 * experts


def test_coordinates_follow_a_valley_of_two_weights() -> None:
    for seed in range(3):
        problem = nearly_quadratic(2, seed, interacting=True)
        error, _ = search(named("coordinate", problem, 0), problem)
        assert error <= 0.02


SURFACE_RADIUS = 0.05


@pytest.mark.parametrize(("experts", "seed"), [(2, 0), (2, 3), (4, 1), (8, 1), (8, 3)])
def test_the_surface_finds_a_strongly_curved_optimum_in_a_few_evaluations(
    experts: int, seed: int
) -> None:
    problem = GaussianProblem(6 if experts == 8 else 4, experts, seed)
    objective = FrechetObjective(problem.reference, TABLE)
    # No doubt: what is tested is the precision, not where noise makes more of it worthless.
    strategy = SurfaceStrategy(problem.box, objective, doubt=0.0)
    error, evaluations = search(strategy, problem)
    assert error * 3 <= SURFACE_RADIUS  # the box is 3 wide
    assert evaluations <= surface_budget(experts)


@pytest.mark.parametrize(("experts", "seed"), [(2, 3), (4, 0), (8, 1), (8, 3)])
def test_what_the_surface_leaves_for_noise_is_little_of_the_gain(experts: int, seed: int) -> None:
    problem = GaussianProblem(6, experts, seed)
    strategy = SurfaceStrategy(problem.box, FrechetObjective(problem.reference, TABLE))
    evaluations = run(strategy, problem, 512)
    best = min(evaluation.value for evaluation in evaluations)
    optimum = problem.sample_optimum(512).value
    assert best - optimum <= 0.02 * (evaluations[0].value - optimum)


@pytest.mark.parametrize("experts", [2, 4])
def test_on_nearly_quadratic_distances_the_surface_needs_few_evaluations_beside_the_anchors(
    experts: int,
) -> None:
    problem = nearly_quadratic(experts, 0, interacting=True)
    strategy = SurfaceStrategy(problem.box, FrechetObjective(problem.reference, TABLE))
    evaluations = run(strategy, problem, 5000)
    optimum = problem.sample_optimum(5000).value
    first = len(problem.anchors) + 4
    anchors = min(evaluation.value for evaluation in evaluations[: len(problem.anchors)])
    best = min(evaluation.value for evaluation in evaluations[:first])
    assert best - optimum <= 0.05 * (anchors - optimum)


def asked(strategy: Strategy) -> Tensor:
    """All points of a strategy that does not care what it is told, ``(points, N)``."""
    points: list[Candidate] = []
    while proposals := strategy.ask():
        points += [proposal.candidate for proposal in proposals]
        strategy.tell([Evaluation(proposal.candidate, 2, (0.0,)) for proposal in proposals])
    return torch.tensor(points, dtype=torch.float64)


@pytest.mark.parametrize("experts", [2, 4, 8])
def test_random_draws_meet_the_best_share_as_often_as_stated(experts: int) -> None:
    problem = GaussianProblem(4, experts)
    uniform = torch.rand(4000, experts, generator=torch.Generator().manual_seed(1)) * 3 - 1
    best_twentieth = problem.population_value(uniform.double()).quantile(0.05)
    met = [
        bool((problem.population_value(asked(strategy)) < best_twentieth).any())
        for strategy in (RandomStrategy(problem.box, 59, seed=seed) for seed in range(60))
    ]
    assert sum(met) / 60 >= 0.86  # stated: 0.95, binomial deviation 0.028


@pytest.mark.parametrize("experts", [2, 4, 8])
@pytest.mark.parametrize("power", [4, 6])
def test_a_sobol_sequence_meets_each_best_weight_within_its_share(experts: int, power: int) -> None:
    problem = GaussianProblem(4, experts)
    optimum = torch.tensor(problem.optimum().weights)
    points = asked(SobolStrategy(problem.box, 2**power, seed=3))
    assert points.shape == (2**power, experts)
    nearest = (points - optimum).abs().amin(0) / 3
    assert float(nearest.max()) <= 2**-power + 1e-9


def test_halving_finds_the_same_for_fewer_images() -> None:
    problem = nearly_quadratic(2, 0, interacting=True)
    plain = run(named("evolution", problem, 0), problem, 1000)
    config = SearchConfig(strategy="evolution", promotions=(125, 500), images=1000, seed=0)
    halved = run(make_strategy(config, problem.box), problem, 1000)
    images = [sum(item.images for item in items[5:]) for items in (plain, halved)]
    assert images[1] < 0.7 * images[0]
    in_full = [item for item in halved[5:] if item.images == 1000]
    best = min(in_full, key=lambda item: item.value).candidate
    assert largest_error(best, problem.sample_optimum(1000).weights, problem.box) <= 0.1


def least_noise_loss(problem: GaussianProblem) -> Candidate:
    """Where ``E|C x_t + c|²`` is least over the weights, a quadratic: by its normal equations."""
    rows, targets = [], []
    for t in range(0, TIMESTEPS, 10):
        block = t * problem.experts // TIMESTEPS
        alpha = problem.alpha_bar[t].sqrt()
        variance = alpha**2 * problem.covariance + (1 - alpha**2) * torch.eye(problem.dimensions)
        # E|C x + c|² is the squared norm of (C L, C m + c), L Lᵀ the variance and m the mean of x.
        spread = torch.cat([torch.linalg.cholesky(variance), alpha * problem.mean[:, None]], 1)
        root = torch.cat([spread, torch.zeros(1, problem.dimensions + 1)])
        root[-1, -1] = 1
        rows.append((problem.task_vectors[:, block] @ root).flatten(1).T)
        targets.append(-(problem.pretrained[block] @ root).flatten())
    return tuple(torch.linalg.lstsq(torch.cat(rows), torch.cat(targets)).solution.tolist())


@pytest.mark.parametrize("experts", [2, 4, 8])
def test_the_gradient_strategy_finds_the_best_scale_of_the_losss_minimiser(experts: int) -> None:
    problem = GaussianProblem(6, experts, seed=1)
    direction = torch.tensor(problem.box.clip(least_noise_loss(problem)))
    strategy = GradientStrategy(problem.box, lambda: direction.tolist())
    asked_for = run(strategy, problem, IMAGES)[len(problem.anchors) :]
    best = min(asked_for, key=lambda evaluation: evaluation.value)
    found = float(torch.tensor(best.candidate) @ direction / direction.square().sum())
    scales = torch.linspace(-1, 3, 4001, dtype=torch.float64)[:, None]
    inside = scales[((scales * direction >= -1) & (scales * direction <= 2)).all(1)]
    values = problem.sample_value(inside * direction, IMAGES)
    assert abs(found - float(inside[values.argmin()])) <= 0.05
    assert best.value < 1.01 * float(values.min())
    assert len(asked_for) <= strategy.expected_evaluations()
