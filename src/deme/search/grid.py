"""Grid search: coarse steps over the box, then finer steps around the best (the paper's)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..errors import ConfigError
from .space import Box, Candidate
from .strategy import Strategy


class GridStrategy(Strategy):
    """A full grid over the box; then, ``refinements`` times, a grid of half the step.

    Each refinement is a full factorial of ``−step, 0, +step`` around the best of its own
    candidates so far. None is asked for twice.

    Args:
        box: the bounds.
        levels: grid points along each weight in the first, coarse grid (at least 2).
        refinements: how many finer grids follow.

    """

    def __init__(self, box: Box, levels: int, refinements: int) -> None:
        if levels < 2:
            raise ConfigError(f"A grid of {levels} levels has no step", fix="give levels >= 2")
        self.box = box
        self.levels = levels
        self.refinements = refinements
        self.step = [
            (high - low) / (levels - 1) for low, high in zip(box.low, box.high, strict=True)
        ]
        self.values: dict[Candidate, float] = {}
        self.round = 0

    def ask(self) -> list[Candidate]:
        """The coarse grid first, then a finer one around the best for each refinement."""
        while self.round <= self.refinements:
            candidates = self._coarse() if self.round == 0 else self._around_best()
            fresh = [item for item in dict.fromkeys(candidates) if item not in self.values]
            if fresh:
                return fresh
            self._next_round()
        return []

    def tell(self, candidates: Sequence[Candidate], values: Sequence[float]) -> None:
        """Takes the values of the grid last asked for."""
        self.values.update(zip(candidates, values, strict=True))
        self._next_round()

    def expected_evaluations(self) -> int:
        """Coarse grid plus full refinements, without what clipping and repeats save."""
        n = self.box.dimensions
        return self.levels**n + self.refinements * (3**n - 1)

    def _next_round(self) -> None:
        self.step = [step / 2 for step in self.step]
        self.round += 1

    def _coarse(self) -> list[Candidate]:
        axes = [
            [low + i * step for i in range(self.levels)]
            for low, step in zip(self.box.low, self.step, strict=True)
        ]
        return [self.box.clip(point) for point in itertools.product(*axes)]

    def _around_best(self) -> list[Candidate]:
        best = min(self.values, key=lambda candidate: (self.values[candidate], candidate))
        axes = [
            [center - step, center, center + step]
            for center, step in zip(best, self.step, strict=True)
        ]
        return [self.box.clip(point) for point in itertools.product(*axes)]
