"""Kriging: how much each sampled point says about the moments at any other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LENGTH = 4.0
"""Prior centre of the length scales, in units of a weight. Moments of merges bend slowly: on the
bundled digits the likeliest lengths are 3 to 7 where an expert's own weight is 1."""
LENGTH_SPREAD = 0.35
"""Prior deviation of the logarithm of the common length."""
AXIS_SPREAD = 0.7
"""Prior deviation of the logarithm of an axis's length about the common one."""
NUGGET, NUGGET_SPREAD = 1e-4, 2.3
"""Prior centre of the noise's share of the variance, and deviation of its logarithm."""
LENGTHS = (0.3, 30.0)
NUGGETS = (1e-7, 1e-2)
MANY_AXES = 12
"""From so many axes on all share one length: a few points cannot tell them apart."""


@dataclass(frozen=True)
class Scales:
    """What the likelihood chose: a length for each axis, and the noise's share of the variance."""

    lengths: tuple[float, ...]
    nugget: float


class Smoother:
    """Ordinary kriging with a Gaussian kernel: ``k(u, v) = exp(−½ Σ_i (u_i − v_i)²/ℓ_i²)``.

    The mean is free, so coefficients sum to one. Lengths and nugget are those of the largest
    restricted likelihood of the sketches, all of whose elements share them, times a weak prior.

    Args:
        points: where there are sets, float64 ``(J, N)``, J at least 2, in units of a weight.
        sketches: what was found there ``(J, K)``.
        scales: given where they are known; None: learn them.

    """

    def __init__(self, points: Tensor, sketches: Tensor, scales: Scales | None = None) -> None:
        self.points = points
        centred = sketches - sketches.mean(dim=0)
        gram = centred @ centred.T
        self.scales = scales or likeliest_scales(points, gram / gram.trace().clamp(min=1e-300))
        self._lengths = torch.tensor(self.scales.lengths, dtype=torch.float64)
        kernel = _kernel(points, points, self._lengths)
        kernel += self.scales.nugget * torch.eye(len(points), dtype=torch.float64)
        self._inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel))
        self._mean = self._inverse.sum(dim=1) / self._inverse.sum()  # coefficients of the mean
        self._precision = self._inverse - torch.outer(self._mean, self._inverse.sum(dim=1))

    def coefficients(self, points: Tensor) -> Tensor:
        """``c(w)``, ``(..., J)`` at points ``(..., N)``; each sums to one; differentiable."""
        kernel = _kernel(points, self.points, self._lengths)
        return kernel @ self._precision + self._mean

    def variance(self, points: Tensor) -> Tensor:
        """How uncertain a moment is, as a share of the kernel's own variance, ``(...)``."""
        kernel = _kernel(points, self.points, self._lengths)
        explained = (kernel @ self._inverse * kernel).sum(dim=-1)
        missing = 1 - (kernel @ self._inverse).sum(dim=-1)
        return (1 - explained + missing**2 / self._inverse.sum()).clamp(min=0)

    def left_out(self) -> tuple[Tensor, Tensor]:
        """Coefficients ``(J, J)`` that predict each point from the others, and its variance."""
        diagonal = self._precision.diagonal()
        coefficients = -self._precision / diagonal[:, None]
        coefficients.fill_diagonal_(0.0)
        return coefficients, 1 / diagonal

    def knowing(self, points: Tensor) -> Smoother:
        """The same scales with further points ``(M, N)``, for their variance alone."""
        every = torch.cat([self.points, points])
        return Smoother(every, torch.zeros(len(every), 1, dtype=torch.float64), self.scales)


def _kernel(first: Tensor, second: Tensor, lengths: Tensor) -> Tensor:
    difference = first.unsqueeze(-2) / lengths - second / lengths
    return torch.exp(-0.5 * difference.square().sum(dim=-1))


def likeliest_scales(points: Tensor, gram: Tensor) -> Scales:
    """The scales of the largest posterior, from several starts; deterministic.

    Args:
        points: ``(J, N)``.
        gram: inner products of the centred sketches ``(J, J)``, of trace one.

    """
    from scipy.optimize import minimize

    axes = points.shape[1]
    free = axes if axes < MANY_AXES else 1
    bounds = [tuple(map(math.log, LENGTHS))] * free + [tuple(map(math.log, NUGGETS))]

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        with torch.enable_grad():  # the caller may predict without gradients
            logs = torch.tensor(values, requires_grad=True)
            loss = _negative_posterior(logs, points, gram)
            (gradient,) = torch.autograd.grad(loss, logs)
        return float(loss.detach()), gradient.numpy()

    starts: Sequence[tuple[float, float]] = ((LENGTH, NUGGET), (LENGTH / 2, NUGGET / 30))
    found = [
        minimize(
            objective,
            np.log([length] * free + [nugget]),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
        )
        for length, nugget in starts
    ]
    best = np.exp(min(found, key=lambda result: float(result.fun)).x)
    lengths = best[:-1] if free == axes else np.repeat(best[0], axes)
    return Scales(tuple(map(float, lengths)), float(best[-1]))


def _negative_posterior(logs: Tensor, points: Tensor, gram: Tensor) -> Tensor:
    """``½ (log|K| + log 1ᵀK⁻¹1 + (J − 1) log tr(Q G))`` and the priors' squares."""
    count, axes = points.shape
    lengths = logs[:-1].exp().expand(axes)
    kernel = _kernel(points, points, lengths)
    kernel = kernel + logs[-1].exp() * torch.eye(count, dtype=torch.float64)
    factor = torch.linalg.cholesky(kernel)
    inverse = torch.cholesky_inverse(factor)
    sums = inverse.sum(dim=1)
    residual = ((inverse - torch.outer(sums, sums) / sums.sum()) * gram).sum()
    likelihood = 2 * factor.diagonal().log().sum() + sums.sum().log()
    likelihood = likelihood + (count - 1) * residual.clamp(min=1e-300).log()
    common = logs[:-1].mean()
    prior = ((common - math.log(LENGTH)) / LENGTH_SPREAD) ** 2
    prior = prior + ((logs[:-1] - common) / AXIS_SPREAD).square().sum()
    prior = prior + ((logs[-1] - math.log(NUGGET)) / NUGGET_SPREAD) ** 2
    return 0.5 * (likelihood + prior)
