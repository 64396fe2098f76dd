"""From one weight per expert outwards to one per block and expert."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from ..evaluation import Evaluation, Proposal
from ..space import Candidate
from ..strategy import Strategy


class OutwardStrategy(Strategy):
    """A search of a small space, then one of the large space that begins at what it found.

    Every candidate of the small space is one of the large space too, so its evaluations are the
    second search's first design: those of the most images, where there are several counts, since
    values and moments of different counts do not compare.

    Args:
        coarse: searches the small space.
        lift: from its candidates to those of the large space.
        lower: back again, of those that were lifted.
        fine: searches the large space.

    """

    def __init__(
        self,
        coarse: Strategy,
        lift: Callable[[Candidate], Candidate],
        lower: Callable[[Candidate], Candidate],
        fine: Strategy,
    ) -> None:
        self.coarse = coarse
        self.lift = lift
        self.lower = lower
        self.fine = fine
        self.seen: list[Evaluation] = []
        self.outside = False

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        """The anchors are of the small space."""
        self.seen += anchors
        self.coarse.begin([self._lowered(item) for item in anchors])

    def ask(self) -> list[Proposal]:
        """The small search's candidates to its end, then the large one's."""
        if not self.outside:
            proposals = self.coarse.ask()
            if proposals:
                return [
                    dataclasses.replace(item, candidate=self.lift(item.candidate))
                    for item in proposals
                ]
            self.outside = True
            most = max((item.images for item in self.seen), default=0)
            full = {item.candidate: item for item in self.seen if item.images == most}
            self.fine.begin([*full.values()])
        return self.fine.ask()

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Passes on what came of it."""
        if self.outside:
            self.fine.tell(evaluations)
            return
        self.seen += evaluations
        self.coarse.tell([self._lowered(item) for item in evaluations])

    def expected_evaluations(self) -> int:
        """Both searches'."""
        return self.coarse.expected_evaluations() + self.fine.expected_evaluations()

    def _lowered(self, evaluation: Evaluation) -> Evaluation:
        return dataclasses.replace(evaluation, candidate=self.lower(evaluation.candidate))
