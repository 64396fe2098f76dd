"""CMA-ES: a normal distribution that moves and turns towards what is better."""

from __future__ import annotations

from collections.abc import Mapping

from ...randomness import derive_seed
from ..space import Box, Candidate
from .penalty import Penalty
from .rounds import Rounds, RoundStrategy, Values

SPREAD = 0.2
"""First standard deviation, in parts of the bounds' width."""


class CmaEsStrategy(RoundStrategy):
    """Covariance matrix adaptation (Hansen, arXiv:1604.00772), by Optuna's package ``cmaes``.

    It starts at the best anchor and asks for a generation at once, ``4 + ⌊3 ln N⌋`` candidates.
    Only the order of values counts. For a single weight a second coordinate is carried along that
    nothing depends on, since CMA-ES needs two.

    Precision: on quadratics of up to 4 weights that may interact, within 0.1 of the bounds' width
    in every weight after ``40 N`` evaluations; 0.15 where the best is on the border.

    Args:
        box: the bounds.
        evaluations: how many beside the anchors, at most: it ends earlier where it has converged.
        seed: of the draws.

    Raises:
        ConfigError: a budget below 1.

    """

    def __init__(self, box: Box, evaluations: int, *, seed: int = 0) -> None:
        super().__init__(box, evaluations)
        self.seed = seed

    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """One generation after another."""
        import numpy
        from cmaes import CMA

        n = self.box.dimensions
        dimensions = max(n, 2)
        start = min(anchors, key=lambda candidate: (anchors[candidate][0], candidate), default=None)
        unit = [0.5] * n if start is None else self.unit(start)
        optimiser = CMA(
            mean=numpy.array(unit + [0.5] * (dimensions - n)),
            sigma=SPREAD,
            bounds=numpy.array([[0.0, 1.0]] * dimensions),
            seed=derive_seed(self.seed, "search cmaes") % 2**32,
        )
        penalty = Penalty()
        while not optimiser.should_stop():
            asked = [optimiser.ask() for _ in range(optimiser.population_size)]
            values = yield [self.place(point[:n].tolist()) for point in asked]
            finite = penalty.replace_infinite(values)
            if finite is not None:
                optimiser.tell(
                    [(point, each[0]) for point, each in zip(asked, finite, strict=True)]
                )
