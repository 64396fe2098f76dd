"""Quasi-random search: points that fill the box evenly."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.quasirandom import SobolEngine

from ...randomness import derive_seed
from ..space import Box, Candidate
from .rounds import Rounds, RoundStrategy, Values


class SobolStrategy(RoundStrategy):
    """A scrambled Sobol sequence over the box; what it is told changes nothing.

    Precision: of the first ``2^m`` points each weight has exactly one in every ``2^m``-th part of
    its bounds, so every weight's best value is met within ``2^−m`` of its bounds' width (by some
    point, not by all weights in one). As a whole it is at least as even as random draws.

    Args:
        box: the bounds.
        evaluations: how many beside the anchors; powers of two fill most evenly.
        batch: candidates a round; the points do not depend on it.
        seed: of the scrambling (Owen 1998).

    """

    def __init__(self, box: Box, evaluations: int, *, batch: int = 2, seed: int = 0) -> None:
        super().__init__(box, evaluations)
        self.batch = batch
        self.seed = seed

    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """The sequence, ``batch`` points at a time."""
        points = SobolEngine(
            self.box.dimensions, scramble=True, seed=derive_seed(self.seed, "search sobol")
        )
        while True:
            units = points.draw(self.batch, dtype=torch.float64)
            yield [self.place(unit) for unit in units.tolist()]
