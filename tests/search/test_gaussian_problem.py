"""The closed form that the search's tests lean on, against brute force and the real sampler."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from scipy.linalg import sqrtm
from torch import Tensor, nn

from deme.denoisers import Conditioning, Denoiser
from deme.denoisers.contract import Placement, ProjectionSite
from deme.denoisers.schedule import NoiseSchedule
from deme.generate import SamplerConfig
from deme.generate.sampler import sample_latents
from deme.merge import InPlaceMerger, StateDict, TaskVector
from deme.metrics import FeatureStatistics
from search.gaussian_problem import PROTOCOL, TABLE, TIMESTEPS, GaussianProblem


class Errors(nn.Module):
    """A model's parameters: what it adds to the ideal denoiser, for each block of timesteps."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(values.clone(), requires_grad=False)


class LinearDenoiser(Denoiser):
    """The problem's pretrained model, as the product sees a model."""

    def __init__(self, problem: GaussianProblem) -> None:
        scheduler = DDIMScheduler(clip_sample=False)
        self.problem = problem
        self.network = Errors(problem.pretrained)
        self.schedule = NoiseSchedule.variance_preserving(scheduler.alphas_cumprod)
        self.prediction = "epsilon"
        self.sample_shape = (problem.dimensions,)
        self.resolution = self.image_channels = 1
        self.num_classes = None
        self.scheduler_config = dict(cast(Any, scheduler.config))
        self.name = "linear"

    def predict_with(
        self, network: nn.Module, x_t: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        d, now = self.problem.dimensions, int(t[0])
        matrix, shift = self.problem.ideal(now)
        error = cast(Errors, network).values[now * self.problem.experts // TIMESTEPS]
        return x_t @ (matrix + error[:, :d]).T + shift + error[:, d]

    def condition(
        self, *, labels: Tensor | None = None, captions: Sequence[str] | None = None
    ) -> Conditioning:
        return {}

    def encode(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, x_0: Tensor) -> Tensor:
        raise NotImplementedError

    def projection_sites(self, placement: Placement) -> tuple[ProjectionSite, ...]:
        return ()

    def save(self, folder: Path) -> None:
        raise NotImplementedError


def merged_model(problem: GaussianProblem, weights: Sequence[float]) -> Denoiser:
    model = LinearDenoiser(problem)
    base = StateDict({"values": problem.pretrained.clone()}, "base")
    vectors = [
        TaskVector({"values": values.clone()}, f"expert {i}")
        for i, values in enumerate(problem.task_vectors)
    ]
    return InPlaceMerger(model, base, vectors)(weights)


def sample(problem: GaussianProblem, weights: Sequence[float], noise: Tensor) -> Tensor:
    config = SamplerConfig(sampler_steps=problem.steps, eta=problem.eta)
    return sample_latents(merged_model(problem, weights), config, noise, {})


@pytest.mark.parametrize("experts", [2, 3])
def test_a_table_is_what_the_real_sampler_draws_from_the_real_merge(experts: int) -> None:
    problem = GaussianProblem(dimensions=3, experts=experts, seed=1)
    for weights in (problem.anchors[0], problem.anchors[-1], (-0.7,) * experts):
        drawn = sample(problem, weights, problem.noise(50))
        table = problem.tables(weights, images=50)[TABLE]
        assert torch.allclose(table.double(), drawn.double(), rtol=2e-4, atol=2e-4)


def test_noise_in_every_step_gives_the_distribution_that_the_real_sampler_draws() -> None:
    problem = GaussianProblem(dimensions=2, experts=2, seed=1, eta=1.0)
    jacobian, offset = problem.sampler(torch.tensor([0.5, 0.2]).double())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = sample(problem, (0.5, 0.2), torch.randn(100_000, 2).double())
    exact = jacobian @ jacobian.T
    assert torch.allclose(drawn.mean(0), offset, atol=0.02 * float(exact.trace().sqrt()))
    assert torch.allclose(drawn.T.cov(), exact, atol=0.02 * float(exact.trace()))


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_the_distance_of_many_images_tends_to_the_closed_form(eta: float) -> None:
    problem = GaussianProblem(dimensions=4, experts=2, seed=3, eta=eta)
    weights = (0.3, 0.9)
    exact = float(problem.population_value(weights))
    found = []
    for seed in range(8):
        features = problem.tables(weights, images=10_000, seed=seed)[TABLE]
        found.append(
            problem.reference.distance(FeatureStatistics.from_features(features, PROTOCOL))
        )
    values = torch.tensor(found)
    assert abs(float(values.mean()) - exact) < 4 * float(values.std()) / 8**0.5
    assert float(values.std()) < 0.1 * exact


def test_the_distance_is_the_textbook_formula() -> None:
    problem = GaussianProblem(dimensions=5, experts=4, seed=2, eta=0.5)
    for weights in problem.anchors:
        jacobian, mean = problem.sampler(torch.tensor(weights, dtype=torch.float64))
        covariance = jacobian @ jacobian.T
        root = torch.from_numpy(np.real(sqrtm((problem.covariance @ covariance).numpy())))
        textbook = (mean - problem.mean).square().sum()
        textbook += (problem.covariance + covariance - 2 * root).trace()
        assert float(problem.population_value(weights)) == pytest.approx(float(textbook), rel=1e-6)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_samples_value_is_that_of_its_table(eta: float) -> None:
    problem = GaussianProblem(dimensions=4, experts=2, seed=3, eta=eta)
    for weights in problem.anchors:
        features = problem.tables(weights, images=300, seed=5)[TABLE]
        distance = problem.reference.distance(FeatureStatistics.from_features(features, PROTOCOL))
        assert float(problem.sample_value(weights, 300, 5)) == pytest.approx(distance, rel=1e-4)


def test_the_ideal_denoiser_in_many_steps_draws_the_data() -> None:
    problem = GaussianProblem(dimensions=3, experts=2, seed=0, steps=1000, strength=0.0)
    pretrained = float(problem.population_value(problem.anchors[0]))
    assert pretrained < 1e-3 * float(problem.covariance.trace())


@pytest.mark.parametrize("experts", [2, 4, 8])
def test_nothing_in_the_box_is_better_than_the_optimum(experts: int) -> None:
    problem = GaussianProblem(dimensions=4, experts=experts, seed=0)
    draws = torch.Generator().manual_seed(9)
    for optimum, value in (
        (problem.optimum(), problem.population_value),
        (problem.sample_optimum(200), lambda weights: problem.sample_value(weights, 200)),
    ):
        there = torch.tensor(optimum.weights, dtype=torch.float64)
        assert float(value(there)) == pytest.approx(optimum.value, rel=1e-9)
        for radius in (0.003, 0.1, 3.0):
            moves = radius * (2 * torch.rand(300, experts, generator=draws) - 1).double()
            assert float(value((there + moves).clamp(-1, 2)).min()) >= optimum.value - 1e-12


@pytest.mark.parametrize("experts", [2, 4, 8])
def test_the_best_weights_are_not_trivial(experts: int) -> None:
    problem = GaussianProblem(dimensions=4, experts=experts, seed=0)
    optimum = problem.optimum()
    assert min(optimum.weights) < -0.05
    assert max(optimum.weights) > 1.05
    assert optimum.value < 0.7 * float(problem.population_value(problem.anchors).min())


def test_fewer_images_are_the_first_of_more() -> None:
    problem = GaussianProblem(dimensions=2, experts=2)
    many, few = (problem.tables((0.1, 0.2), count)[TABLE] for count in (500, 100))
    assert torch.equal(many[:100], few)
