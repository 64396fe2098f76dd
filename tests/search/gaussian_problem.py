"""A search whose answer is known: Gaussian data, denoisers linear in ``x``, closed-form distances.

The data are ``N(μ, Σ)`` in d dimensions, for which the ideal denoiser is linear:
``ε*(x, t) = σ_t (α_t² Σ + σ_t² I)⁻¹ (x − α_t μ)``. A model with parameters ``θ = (C_k, c_k)``, one
pair for each of K blocks of timesteps, is off by ``C_k x + c_k``; experts are differences of such
parameters, one for each block, and disturb the others. DDIM is then an affine map of all the noise
``z`` that it draws, ``x_0 = J(w) z + v(w)``, so what a merged model generates is exactly
``N(v, J Jᵀ)``. ``J`` and ``v`` are polynomials in w of as high a degree as the sampler has steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from deme.metrics import FeatureStatistics, FrechetReference, Protocol
from deme.search.evaluation import Evaluation, Proposal
from deme.search.objectives import FrechetObjective
from deme.search.space import Box, Candidate
from deme.search.strategy import Strategy

TIMESTEPS = 1000
CAPACITY = 10_000
"""Images of one seed; fewer are the first of them."""
TABLE = "features"
PROTOCOL = Protocol(detector="identity", detector_digest="0", resize="none")
POINTS = 512
"""Random points from which the best few are descended to find an optimum."""


Weights = Tensor | Sequence[float] | Sequence[Candidate]


@dataclass(frozen=True)
class Optimum:
    """Where a function of the weights is smallest in a box, and how small."""

    weights: Candidate
    value: float


@dataclass(frozen=True, eq=False)
class Step:
    """A DDIM step of the ideal model, ``x ← matrix·x + shift + sigma·z``, and its timesteps' block.

    ``follow`` is the coefficient of the predicted noise, and so of what a model adds to it.
    """

    block: int
    matrix: Tensor
    shift: Tensor
    follow: float
    sigma: float


class GaussianProblem:
    """Merging weights for experts of a Gaussian's denoiser.

    The pretrained model is off by ``−Σ w*_i τ_i`` and something that no expert can mend. ``w*``
    runs from −0.4 to 1.3 in a random order, so one expert has learned what harms and one too little
    of what helps. The best weights are near ``w*``, not at it: the sampler's own error is there to
    be mended too.

    Args:
        dimensions: d, of the data.
        experts: N, and as many blocks of timesteps.
        seed: of the data and the experts.
        steps: the sampler's.
        eta: DDIM's η: above 0 there is noise in every step.
        strength: size of a task vector's entries on its own block; more is less linear.
        interacting: False: the data's coordinates are independent, and expert i changes coordinate
            i alone (N ≤ d), so the distance is a sum of functions of one weight each.
        box: where weights are looked for; None: [−1, 2] each.

    """

    def __init__(
        self,
        dimensions: int,
        experts: int,
        seed: int = 0,
        *,
        steps: int = 10,
        eta: float = 0.0,
        strength: float = 0.15,
        interacting: bool = True,
        box: Box | None = None,
    ) -> None:
        d = self.dimensions = dimensions
        self.experts, self.steps, self.eta = experts, steps, eta
        self.box = box or Box.cube((-1.0, 2.0), experts)
        draws = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=draws, dtype=torch.float64)

        self.mean = 0.5 * normal(d)
        rotation = torch.linalg.qr(normal(d, d))[0]
        deviations = torch.linspace(0.4, 1.2, d, dtype=torch.float64)
        if not interacting:
            rotation = torch.eye(d, dtype=torch.float64)
        self.root = rotation @ deviations.diag() @ rotation.T
        self.covariance = self.root @ self.root
        own = torch.eye(experts, dtype=torch.float64)
        size = strength * (own + 0.3 * (1 - own))[..., None, None]
        # A column for c_k beside the d of C_k; (experts, blocks, d, d + 1).
        self.task_vectors = size * normal(experts, experts, d, d + 1) / d**0.5
        if not interacting:
            self.task_vectors = _on_own_coordinates(self.task_vectors, strength)
        order = torch.randperm(experts, generator=draws)
        self.planted = torch.linspace(-0.4, 1.3, experts, dtype=torch.float64)[order]
        unmendable = 0.2 * strength * normal(experts, d, d + 1) / d**0.5
        if not interacting:
            unmendable = torch.zeros_like(unmendable)
        self.pretrained = unmendable - torch.einsum("i,i...->...", self.planted, self.task_vectors)
        self.alpha_bar = torch.linspace(1e-4, 0.02, TIMESTEPS, dtype=torch.float64)
        self.alpha_bar = (1 - self.alpha_bar).cumprod(0)

    @cached_property
    def anchors(self) -> tuple[Candidate, ...]:
        """Zero, each expert alone, 1/N, ones."""
        n = self.experts
        alone = [tuple(float(i == j) for j in range(n)) for i in range(n)]
        return ((0.0,) * n, *alone, (1 / n,) * n, (1.0,) * n)

    def ideal(self, t: int) -> tuple[Tensor, Tensor]:
        """``A*`` ``(d, d)`` and ``b*`` ``(d,)`` of the data's own denoiser ``A* x + b*`` at t."""
        alpha, sigma = self.alpha_bar[t].sqrt(), (1 - self.alpha_bar[t]).sqrt()
        variance = alpha**2 * self.covariance + sigma**2 * torch.eye(self.dimensions).double()
        matrix = sigma * torch.linalg.inv(variance)
        return matrix, -alpha * matrix @ self.mean

    def merged(self, weights: Tensor) -> Tensor:
        """``θ + Σ w_i τ_i`` for weights ``(…, N)``: ``(…, K, d, d + 1)``."""
        return self.pretrained + torch.einsum("...i,ikab->...kab", weights, self.task_vectors)

    def sampler(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """``J`` ``(…, d, D)`` and ``v`` ``(…, d)`` for weights ``(…, N)``, float64.

        ``D`` is d for the noise ``x_T`` and, where η > 0, d more for each step.
        """
        d, shape = self.dimensions, weights.shape[:-1]
        merged = self.merged(weights)
        eye = torch.eye(d, dtype=torch.float64)
        jacobian, offset = eye.expand(*shape, d, d), torch.zeros(*shape, d, dtype=torch.float64)
        for step in self._ideal_steps:
            error = merged[..., step.block, :, :]
            matrix = step.matrix + step.follow * error[..., :d]
            shift = step.shift + step.follow * error[..., d]
            jacobian = matrix @ jacobian
            offset = (matrix @ offset[..., None])[..., 0] + shift
            if self.eta:
                noise = (step.sigma * eye).expand(*shape, d, d)
                jacobian = torch.cat([jacobian, noise], dim=-1)
        return jacobian, offset

    @cached_property
    def _ideal_steps(self) -> list[Step]:
        stride, steps = TIMESTEPS // self.steps, []
        for t in range((self.steps - 1) * stride, -1, -stride):
            before = float(self.alpha_bar[t - stride]) if t >= stride else 1.0
            now = float(self.alpha_bar[t])
            sigma = self.eta * ((1 - before) / (1 - now) * (1 - now / before)) ** 0.5
            keep = (before / now) ** 0.5
            follow = max(1 - before - sigma**2, 0.0) ** 0.5 - keep * (1 - now) ** 0.5
            ideal, shift = self.ideal(t)
            matrix = keep * torch.eye(self.dimensions, dtype=torch.float64) + follow * ideal
            block = t * self.experts // TIMESTEPS
            steps.append(Step(block, matrix, follow * shift, follow, sigma))
        return steps

    def population_value(self, weights: Weights) -> Tensor:
        """The Fréchet distance of all that the merged model can generate from the data.

        ``|v − μ|² + tr Σ + |J|² − 2 ‖Σ^½ J‖_*`` for weights ``(…, N)``: a nuclear norm, where
        others take the root of ``Σ^½ J Jᵀ Σ^½``. float64 ``(…)``, differentiable.
        """
        return self._value(torch.as_tensor(weights, dtype=torch.float64), None, None)

    def sample_value(self, weights: Weights, images: int, seed: int = 0) -> Tensor:
        """The same of the first ``images`` that are drawn from a seed's noise."""
        moments = self._noise_moments(images, seed)
        return self._value(torch.as_tensor(weights, dtype=torch.float64), *moments)

    def _noise_moments(self, images: int, seed: int) -> tuple[Tensor, Tensor]:
        noise = self.noise(images, seed)
        values, vectors = torch.linalg.eigh(noise.T.cov())
        return noise.mean(0), vectors * values.clamp(min=0).sqrt()

    def _value(self, weights: Tensor, noise_mean: Tensor | None, root: Tensor | None) -> Tensor:
        jacobian, mean = self.sampler(weights)
        if noise_mean is not None:
            mean = mean + jacobian @ noise_mean
        if root is not None:
            jacobian = jacobian @ root
        overlap = torch.linalg.svdvals(self.root @ jacobian).sum(-1)
        spread = self.covariance.trace() + jacobian.square().sum((-2, -1))
        return (mean - self.mean).square().sum(-1) + spread - 2 * overlap

    def noise(self, images: int, seed: int = 0) -> Tensor:
        """All that the sampler draws for each image: float64 ``(images, D)``."""
        width = self.dimensions * (self.steps + 1 if self.eta else 1)
        draws = torch.Generator().manual_seed(seed)
        return torch.randn(CAPACITY, width, generator=draws, dtype=torch.float64)[:images]

    def tables(self, weights: Sequence[float], images: int, seed: int = 0) -> dict[str, Tensor]:
        """What a candidate is measured with: ``x_0`` itself, float32 ``(images, d)``."""
        jacobian, offset = self.sampler(torch.tensor(weights, dtype=torch.float64))
        return {TABLE: (self.noise(images, seed) @ jacobian.T + offset).float()}

    @property
    def reference(self) -> FrechetReference:
        """The data's exact moments."""
        return FrechetReference(FeatureStatistics(self.mean, self.covariance, None, PROTOCOL))

    def optimum(self) -> Optimum:
        """The best weights in the box were every image drawn."""
        return self._minimise(None)

    def sample_optimum(
        self, images: int, seed: int = 0, start: Sequence[float] | None = None
    ) -> Optimum:
        """The best weights in the box on a seed's images: what a search sees.

        ``start``: descend from there alone.
        """
        return self._minimise((images, seed), start)

    def _minimise(
        self, sample: tuple[int, int] | None, start: Sequence[float] | None = None
    ) -> Optimum:
        from scipy.optimize import minimize

        moments = (None, None) if sample is None else self._noise_moments(*sample)

        def with_gradient(point: np.ndarray) -> tuple[float, np.ndarray]:
            weights = torch.tensor(point, dtype=torch.float64, requires_grad=True)
            found = self._value(weights, *moments)
            return float(found.detach()), torch.autograd.grad(found, weights)[0].numpy()

        if start is None:
            low, high = torch.tensor(self.box.low), torch.tensor(self.box.high)
            draws = torch.Generator().manual_seed(0)
            spread = torch.rand(POINTS, self.experts, generator=draws, dtype=torch.float64)
            points = torch.cat([torch.tensor(self.anchors), low + (high - low) * spread])
            starts = points[self._value(points, *moments).topk(4, largest=False).indices]
        else:
            starts = torch.tensor([start], dtype=torch.float64)
        bounds = [*zip(self.box.low, self.box.high, strict=True)]
        ends = [
            minimize(with_gradient, point.numpy(), jac=True, bounds=bounds, tol=1e-14)
            for point in starts
        ]
        end = min(ends, key=lambda result: result.fun)
        return Optimum(tuple(end.x.tolist()), float(end.fun))


def _on_own_coordinates(task_vectors: Tensor, size: float) -> Tensor:
    """Of ``(experts, blocks, d, d + 1)`` what moves coordinate i by itself, for expert i.

    Every block to the same side, so that no expert undoes itself.
    """
    kept = torch.zeros_like(task_vectors)
    for i in range(len(task_vectors)):
        kept[i, :, i, [i, -1]] = size + 0.3 * task_vectors[i, :, i, [i, -1]]
    return kept


def run(
    strategy: Strategy, problem: GaussianProblem, images: int, seed: int = 0
) -> list[Evaluation]:
    """The search loop, in memory: anchors and then all that was asked for, in order."""
    objective = FrechetObjective(problem.reference, TABLE)

    def evaluate(proposal: Proposal) -> Evaluation:
        count = proposal.images or images
        tables = problem.tables(proposal.candidate, count, seed)
        values = (float(objective.value(tables)),)
        return Evaluation(proposal.candidate, count, values, tables, proposal.notes)

    evaluations = [evaluate(Proposal(anchor)) for anchor in problem.anchors]
    strategy.begin(evaluations)
    while proposals := strategy.ask():
        answers = [evaluate(proposal) for proposal in proposals]
        strategy.tell(answers)
        evaluations += answers
    return evaluations
