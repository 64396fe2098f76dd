"""Uniform random search: what every other strategy has to beat."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ...randomness import generator
from ..space import Box, Candidate
from .rounds import Rounds, RoundStrategy, Values


class RandomStrategy(RoundStrategy):
    """Independent uniform draws over the box; what it is told changes nothing.

    Precision: with n evaluations the best is among the best share q of the box with probability
    ``1 − (1 − q)^n``: 59 evaluations for the best 5 % with 95 % (Bergstra & Bengio, JMLR 2012).

    Args:
        box: the bounds.
        evaluations: how many beside the anchors.
        batch: candidates a round; the draws do not depend on it.
        seed: of the draws.

    """

    def __init__(self, box: Box, evaluations: int, *, batch: int = 2, seed: int = 0) -> None:
        super().__init__(box, evaluations)
        self.batch = batch
        self.seed = seed

    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """Draws, ``batch`` at a time."""
        draws = generator(self.seed, "search random")
        while True:
            units = torch.rand(
                self.batch, self.box.dimensions, generator=draws, dtype=torch.float64
            )
            yield [self.place(unit) for unit in units.tolist()]
