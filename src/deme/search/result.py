"""What a search found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .evaluation import Evaluation


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found.

    Attributes:
        best: the lowest value among the evaluations of the most images.
        evaluations: all, in the order in which they were asked for, each once.
        costs: of each evaluation, its newly drawn images over those of a full set.
        pareto: with several objectives, the evaluations of the most images that no other one
            of them is as good as everywhere and better somewhere; empty with one.

    """

    best: Evaluation
    evaluations: tuple[Evaluation, ...]
    costs: tuple[float, ...]
    pareto: tuple[Evaluation, ...]

    @property
    def cost(self) -> float:
        """What the search cost, in full sets of images; kills do not change it."""
        return math.fsum(self.costs)


def pareto_front(evaluations: Sequence[Evaluation]) -> tuple[Evaluation, ...]:
    """Those that no other is as good as in every objective and better in one, in order."""

    def dominated(one: Evaluation) -> bool:
        return any(
            other.values != one.values
            and all(a <= b for a, b in zip(other.values, one.values, strict=True))
            for other in evaluations
        )

    return tuple(
        item for item in evaluations if all(map(math.isfinite, item.values)) and not dominated(item)
    )
