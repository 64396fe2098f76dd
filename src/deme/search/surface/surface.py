"""The predicted objective over the weights, from the sets that were sampled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..evaluation import Evaluation
from ..objectives.contract import Objective
from .sketch import MomentSketch
from .smoother import Smoother


class MomentSurface:
    """Predicts an objective anywhere from a few sampled sets that share their noise.

    Args:
        objective: what is predicted.
        units: what counts as one along each axis: 1 for a weight, the width of its bounds for
            another parameter.

    """

    def __init__(self, objective: Objective, units: Sequence[float]) -> None:
        self.units = torch.tensor(units, dtype=torch.float64)
        self.objective = objective
        self.mixture = objective.mixture()
        self.evaluations: list[Evaluation] = []
        self._sketch: MomentSketch | None = None
        self._sketches: list[Tensor] = []
        self._smoother: Smoother | None = None

    def add(self, evaluation: Evaluation) -> None:
        """Learns from an evaluation with tables; one that was not finite teaches nothing."""
        if not math.isfinite(evaluation.value):
            return
        tables = {name: evaluation.tables[name] for name in self.objective.reads}
        if self._sketch is None:
            self._sketch = MomentSketch(tables)
        self._sketches.append(self._sketch(tables))
        self.mixture.add(evaluation.tables)  # which stay on disk where they lie there
        self.evaluations.append(evaluation)
        self._smoother = None

    @property
    def smoother(self) -> Smoother:
        """The fit to all that was added, of two sets at least."""
        if self._smoother is None:
            points = self._scaled([evaluation.candidate for evaluation in self.evaluations])
            self._smoother = Smoother(points, torch.stack(self._sketches))
        return self._smoother

    def predict(self, points: Tensor) -> Tensor:
        """Predicted values ``(...)`` at points ``(..., N)``; float64, differentiable."""
        return self.mixture(self.smoother.coefficients(points / self.units))

    def doubt(self, knowing: Sequence[Sequence[float]] = ()) -> Callable[[Tensor], Tensor]:
        """By how much predictions may be off: from points ``(..., N)`` to one deviation ``(...)``.

        The kernel's deviation, in proportion to the errors with which each sampled value is
        predicted from the others.

        Args:
            knowing: points that are being sampled now, as if their moments were known.

        """
        smoother = self.smoother
        if knowing:
            smoother = smoother.knowing(self._scaled(knowing))
        scale = self._error_scale()
        floor = torch.finfo(torch.float64).eps  # a root has no slope at zero

        def deviation(points: Tensor) -> Tensor:
            return scale * (smoother.variance(points / self.units) + floor).sqrt()

        return deviation

    def left_out(self) -> tuple[Tensor, Tensor]:
        """Each sampled value as predicted from the other sets, and the value itself, ``(J,)``."""
        coefficients, _ = self.smoother.left_out()
        real = torch.tensor([item.value for item in self.evaluations], dtype=torch.float64)
        return self.mixture(coefficients), real

    def _error_scale(self) -> float:
        """Root mean square of left-out errors over their kernel deviations, and that of medians.

        Corners of a design are predicted worst and say least about its inside: the geometric mean
        of both keeps one of them from deciding.
        """
        with torch.no_grad():
            predicted, real = self.left_out()
        _, variance = self.smoother.left_out()
        ratios = (predicted - real).abs() / variance.sqrt()
        return float((ratios.square().mean().sqrt() * ratios.median()).sqrt())

    def _scaled(self, points: Sequence[Sequence[float]]) -> Tensor:
        return torch.tensor(points, dtype=torch.float64) / self.units
