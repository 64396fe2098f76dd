"""Grid search: coarse steps over the box, then finer steps around the best (the paper's)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

from ...errors import ConfigError
from ..evaluation import Evaluation
from ..space import Box, Candidate
from .rounds import Rounds, RoundStrategy, Values

LARGEST_GRID = 1_000_000
"""Candidates that a grid may have at most; no search evaluates so many."""


class GridStrategy(RoundStrategy):
    """A full grid over the box; then, ``refinements`` times, a finer one around the best.

    A finer grid is a full factorial of ``−step, 0, +step`` around the best grid point so far; ties
    go to the smaller candidate. The paper's is ``levels=5, finer_step=0.1`` on [0, 1]: 0, 0.25, …,
    1 and then steps of 0.1. Anchors on the grid count as its points, others do not.

    Precision: on a quadratic whose weights do not interact, the best of the coarse grid is within
    half a step of the optimum in every weight, and each halving of the step halves that.

    Args:
        box: the bounds.
        levels: grid points along each weight in the first, coarse grid (at least 2).
        refinements: how many finer grids follow.
        finer_step: step of every finer grid, never above the coarse one's; None: half the step of
            the grid before.

    Raises:
        ConfigError: fewer than two levels, a step that is not positive, or more than a million
            points.

    """

    def __init__(
        self, box: Box, levels: int, refinements: int, finer_step: float | None = None
    ) -> None:
        if levels < 2:
            raise ConfigError(f"A grid of {levels} levels has no step", fix="give levels >= 2")
        if finer_step is not None and not finer_step > 0:
            raise ConfigError(
                f"A grid cannot have steps of {finer_step}", fix="give finer_step > 0 or none"
            )
        points = grid_size(levels, box.dimensions, refinements)
        if points > LARGEST_GRID:
            raise ConfigError(
                f"A grid of {levels} levels over {box.dimensions} weights has {points} candidates",
                fix="lower search.levels, or use another search.strategy",
            )
        super().__init__(box, points)
        self.levels = levels
        self.refinements = refinements
        self.finer_step = finer_step

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        """Takes the anchors; those on the coarse grid are not asked for."""
        super().begin(anchors)
        self.evaluations -= sum(candidate in self._known for candidate in set(self._coarse()))

    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """The coarse grid first, then a finer one around the best for each refinement."""
        best_of: dict[Candidate, float] = {}
        candidates = self._coarse()
        for refinement in range(self.refinements + 1):
            values = yield candidates
            best_of.update(zip(candidates, (each[0] for each in values), strict=True))
            best = min(best_of, key=lambda candidate: (best_of[candidate], candidate))
            candidates = self._around(best, self._steps(refinement + 1))

    def _steps(self, refinement: int) -> list[float]:
        coarse = [
            (high - low) / (self.levels - 1)
            for low, high in zip(self.box.low, self.box.high, strict=True)
        ]
        if self.finer_step is None or refinement == 0:
            return [step / 2**refinement for step in coarse]
        return [min(step, self.finer_step) for step in coarse]

    def _coarse(self) -> list[Candidate]:
        axes = [
            [low + i * step for i in range(self.levels)]
            for low, step in zip(self.box.low, self._steps(0), strict=True)
        ]
        return [self.box.clip(point) for point in itertools.product(*axes)]

    def _around(self, center: Candidate, steps: Sequence[float]) -> list[Candidate]:
        axes = [
            [weight - step, weight, weight + step]
            for weight, step in zip(center, steps, strict=True)
        ]
        return [self.box.clip(point) for point in itertools.product(*axes)]


def grid_size(levels: int, dimensions: int, refinements: int) -> int:
    """Evaluations from coarse to fine, ``levels^N + refinements · (3^N − 1)``.

    A best on the border and anchors on the grid save some of them.
    """
    return levels**dimensions + refinements * (3**dimensions - 1)


def full_grid_size(step: float, low: float, high: float, dimensions: int) -> int:
    """Points of the grid of one step over ``[low, high]^N``: 14 641 for 0.1 on [0, 1]⁴.

    Raises:
        ConfigError: a step that is not positive, or bounds that do not increase.

    """
    if not (step > 0 and low < high):
        raise ConfigError(
            f"No grid of step {step} from {low} to {high}", fix="give step > 0 and low < high"
        )
    steps = math.floor((high - low) / step + 1e-9)  # 1 / 0.1 may be a hair below 10
    return (steps + 1) ** dimensions
