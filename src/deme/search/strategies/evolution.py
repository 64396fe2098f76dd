"""Evolution: parents' weights mixed and mutated, the fittest kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import ConfigError
from ...randomness import generator
from ..space import Box, Candidate
from .rounds import Rounds, RoundStrategy, Values

FIRST_SPREAD, LAST_SPREAD = 0.3, 0.01
"""Standard deviation of mutations at the budget's begin and end, in parts of the bounds' width."""
MUTATED = 0.5
"""How probable it is that a weight is mutated."""
ATTEMPTS = 10
"""Children that are made for each new one, at most; a copy of its parent is not new."""
REACH = 0.25
"""A child may lie beyond its parents, up to this part of their distance."""


class EvolutionStrategy(RoundStrategy):
    """Evolutionary search for merging weights, as for linear combinations of checkpoints.

    The population are the ``population`` best so far, at first the anchors and uniform draws; its
    best are never lost. A round makes ``batch`` children: the weights of two parents, each the
    better of two drawn, are mixed as ``λ a + (1 − λ) b`` with a λ from ``[−0.25, 1.25]`` for each
    weight, and every weight is mutated with probability 1/2 by a normal step, which shrinks
    geometrically from 0.3 to 0.01 of the bounds' width over the budget. After LCSC (Liu et al.,
    arXiv:2404.02241), which mixes and mutates the weights of a run's checkpoints.

    Precision: on quadratics of up to 4 weights that do not interact, within 0.1 of the bounds'
    width in every weight after ``40 N`` evaluations. Only the order of values counts.

    Args:
        box: the bounds.
        evaluations: how many beside the anchors.
        batch: children a round.
        population: how many may become parents, at least 2; None: ``4 + ⌊N / 4⌋``.
        seed: of the draws.

    Raises:
        ConfigError: a population that has no two parents.

    """

    def __init__(
        self,
        box: Box,
        evaluations: int,
        *,
        batch: int = 2,
        population: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(box, evaluations)
        self.batch = batch
        self.population = 4 + box.dimensions // 4 if population is None else population
        if self.population < 2:
            raise ConfigError(
                f"A population of {self.population} has no two parents", fix="give at least 2"
            )
        self.draws = generator(seed, "search evolution")

    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """The first generation, then ``batch`` children a round."""
        value_of = {candidate: values[0] for candidate, values in anchors.items()}
        candidates = [
            self.place(unit.tolist()) for unit in self._uniform(self.population - len(value_of))
        ]
        while True:
            values = yield candidates
            value_of.update(zip(candidates, (each[0] for each in values), strict=True))
            fittest = sorted(value_of, key=lambda candidate: (value_of[candidate], candidate))
            parents = torch.tensor(
                [self.unit(candidate) for candidate in fittest[: self.population]],
                dtype=torch.float64,
            )
            used = self.asked() / self.evaluations
            spread = FIRST_SPREAD * (LAST_SPREAD / FIRST_SPREAD) ** used
            candidates = self._children(parents, spread)

    def _children(self, parents: Tensor, spread: float) -> list[Candidate]:
        """``batch`` new ones; fewer where hardly anything is new, as in a corner of the box."""
        children: dict[Candidate, None] = {}
        for _ in range(ATTEMPTS * self.batch):
            child = self.place(self._mutated(self._child(parents), spread).tolist())
            if child not in self._known:
                children[child] = None
            if len(children) == self.batch:
                break
        return list(children)

    def _child(self, parents: Tensor) -> Tensor:
        """``(N,)`` from parents ``(P, N)`` in order of fitness."""
        drawn = torch.randint(len(parents), (2, 2), generator=self.draws)
        first, second = drawn.min(dim=1).values.tolist()
        share = self._uniform(1)[0] * (1 + 2 * REACH) - REACH
        return share * parents[first] + (1 - share) * parents[second]

    def _mutated(self, child: Tensor, spread: float) -> Tensor:
        chosen = self._uniform(1)[0] < MUTATED
        steps = torch.randn(len(child), generator=self.draws, dtype=torch.float64)
        return child + spread * steps * chosen

    def _uniform(self, rows: int) -> Tensor:
        shape = (max(rows, 0), self.box.dimensions)
        return torch.rand(shape, generator=self.draws, dtype=torch.float64)
