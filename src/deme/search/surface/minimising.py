"""Where a prediction is lowest inside a region."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

STARTS = 512
POLISHED = 4


@dataclass(frozen=True)
class Region:
    """A box ``low_i ≤ w_i ≤ high_i``."""

    low: tuple[float, ...]
    high: tuple[float, ...]

    def spread(self, count: int, seed: int) -> Tensor:
        """Points ``(count, N)`` that fill the region evenly, float64."""
        low = torch.tensor(self.low, dtype=torch.float64)
        high = torch.tensor(self.high, dtype=torch.float64)
        engine = torch.quasirandom.SobolEngine(len(self.low), scramble=True, seed=seed)
        return low + (high - low) * engine.draw(count, dtype=torch.float64)


def lowest_predicted(
    predict: Callable[[Tensor], Tensor],
    region: Region,
    *,
    seed: int,
    also: Sequence[Sequence[float]] = (),
) -> tuple[tuple[float, ...], float]:
    """The point of the lowest prediction inside the region, and the prediction there.

    Many spread points are predicted at once; the best few are followed down the gradient
    (L-BFGS-B), which is closed-form: the derivatives of the coefficients and of the objective.

    Args:
        predict: from points ``(..., N)`` to values ``(...)``, differentiable.
        region: where.
        seed: of the spread points.
        also: further points to start from, moved into the region.

    """
    from scipy.optimize import minimize

    low = torch.tensor(region.low, dtype=torch.float64)
    high = torch.tensor(region.high, dtype=torch.float64)
    starts = region.spread(STARTS, seed)
    if also:
        given = torch.tensor(also, dtype=torch.float64).clamp(low, high)
        starts = torch.cat([given, starts])
    with torch.no_grad():
        values = predict(starts)
    chosen = starts[values.argsort()[:POLISHED]]

    def objective(point: np.ndarray) -> tuple[float, np.ndarray]:
        position = torch.tensor(point, requires_grad=True)
        value = predict(position)
        (gradient,) = torch.autograd.grad(value, position)
        return float(value.detach()), gradient.numpy()

    bounds = list(zip(region.low, region.high, strict=True))
    found = [
        minimize(objective, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds)
        for start in chosen
    ]
    best = min(found, key=lambda result: float(result.fun))
    return tuple(map(float, best.x)), float(best.fun)
