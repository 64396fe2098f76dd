"""Successive halving around any strategy: few images for all, more for the better ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from ...errors import ConfigError
from ..evaluation import Evaluation, Proposal
from ..strategy import Strategy
from .rounds import Values

COHORT = 8
"""Smaller rounds are judged together."""


class HalvingStrategy(Strategy):
    """Draws every candidate of ``inner`` with few images, and the better ones with more.

    The rungs are the counts of ``promotions`` and then ``images``. On each rung the better ``keep``
    share of a round goes on to the next, the best always; losers stay where they are (Jamieson &
    Talwalkar, arXiv:1502.07943). Rounds are put together until there are eight candidates to
    choose from, or the inner search is over: judged at once, each candidate of a search that gets
    better would be among the better half of those before it. With several objectives, better means
    dominated by fewer.

    Values of different counts are not compared: a Fréchet distance falls with the count. So the
    anchors are drawn on the first rung as well, and ``inner`` is told first-rung values alone. Each
    count takes the first images of the same noise. Promotions are asked for together with the
    next round of ``inner``, so that no worker waits.

    Args:
        inner: the strategy; its own image counts are not used.
        promotions: image counts before the last, increasing.
        images: of a full evaluation.
        keep: share of candidates that goes on, in (0, 1).

    Raises:
        ConfigError: counts that do not increase up to ``images``, or a share outside (0, 1).

    """

    def __init__(
        self, inner: Strategy, promotions: Sequence[int], images: int, keep: float = 0.5
    ) -> None:
        counts = [*promotions, images]
        if not promotions or counts != sorted({*counts}):
            raise ConfigError(
                f"Successive halving from {list(promotions)} to {images} images goes nowhere",
                fix="give search.promotions that increase and are below search.images",
            )
        if not 0 < keep < 1:
            raise ConfigError(f"A share of {keep} cannot be kept", fix="give 0 < keep < 1")
        self.inner = inner
        self.counts = counts
        self.keep = keep
        self._cohorts: list[list[tuple[Proposal, Values]]] = [[] for _ in promotions]
        self._waiting: list[Proposal] = []
        self._asked: list[Proposal] = []
        self._anchors = 0
        self._begins = False

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        """Takes the anchors, to be drawn on the first rung before anything else."""
        candidates = dict.fromkeys(each.candidate for each in anchors)
        self._waiting = [Proposal(candidate, self.counts[0]) for candidate in candidates]
        self._anchors = len(candidates)
        self._begins = bool(candidates)

    def ask(self) -> list[Proposal]:
        """The promoted, most images first, and the next round of the inner strategy."""
        if not self._asked:
            fresh = [] if self._begins else self.inner.ask()
            if not fresh and not self._waiting:
                self._judge(smallest=1)
            self._asked = self._waiting + [replace(each, images=self.counts[0]) for each in fresh]
            self._waiting = []
        return list(self._asked)

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Promotes the better ones of each rung; the inner strategy hears of the first.

        Raises:
            ValueError: they are not the evaluations of what was asked for, in order.

        """
        for asked, told in zip(self._asked, evaluations, strict=True):
            if (asked.candidate, asked.images) != (told.candidate, told.images):
                raise ValueError(f"asked for {asked} and was told of {told.candidate}")
        first = [told for told in evaluations if told.images == self.counts[0]]
        if self._begins:
            self.inner.begin(first)
        else:
            for asked, told in zip(self._asked, evaluations, strict=True):
                if told.images != self.counts[-1]:
                    rung = self.counts.index(told.images)
                    self._cohorts[rung].append((asked, told.values))
            self._judge(smallest=COHORT)
            if first:
                self.inner.tell(first)
        self._begins = False
        self._asked = []

    def expected_evaluations(self) -> int:
        """Of all rungs together, as if ``keep`` of each went on; the anchors' on the first too."""
        rungs = sum(self.keep**rung for rung in range(len(self.counts)))
        return self._anchors + math.ceil(self.inner.expected_evaluations() * rungs)

    def _judge(self, smallest: int) -> None:
        """Promotes from the rungs on which at least ``smallest`` wait for it."""
        for rung in reversed(range(len(self._cohorts))):
            cohort = self._cohorts[rung]
            if len(cohort) >= smallest:
                values = [each for _, each in cohort]
                self._waiting += [
                    _promoted(proposal, self.counts[rung + 1])
                    for proposal, each in cohort
                    if all(map(math.isfinite, each))
                    and _better(each, values) < self.keep * len(cohort)
                ]
                self._cohorts[rung] = []


def _promoted(proposal: Proposal, images: int) -> Proposal:
    """The same with more images, of which the inner strategy predicted nothing."""
    notes = {name: note for name, note in proposal.notes.items() if name != "predicted"}
    return replace(proposal, images=images, notes=notes)


def _better(values: Values, others: Sequence[Values]) -> int:
    """How many are better in an objective and worse in none."""
    return sum(
        other != values and all(a <= b for a, b in zip(other, values, strict=True))
        for other in others
    )
