"""A strategy written as rounds: it yields candidates and goes on once it has their values."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Mapping, Sequence

from ...errors import ConfigError
from ..evaluation import Evaluation, Proposal
from ..space import Box, Candidate
from ..strategy import Strategy

Values = tuple[float, ...]
"""Each objective's value of a candidate; ``inf`` where it was not finite."""
Rounds = Generator[Sequence[Candidate], list[Values], None]
"""Yields the candidates of a round and is sent their values, in their order."""
IDLE_ROUNDS = 10
"""So many rounds in a row without a new candidate, and the search has converged."""


class RoundStrategy(Strategy):
    """Turns :meth:`rounds` into ask and tell, within a budget and without asking anything twice.

    A round may repeat candidates whose values are known (its own or the anchors'): they are
    answered at once and cost nothing. The last round is cut where the budget ends.

    Args:
        box: the bounds.
        evaluations: the most that are asked for beside the anchors.

    Raises:
        ConfigError: a budget below 1.

    """

    def __init__(self, box: Box, evaluations: int) -> None:
        if evaluations < 1:
            raise ConfigError(
                f"A search of {evaluations} evaluations finds nothing", fix="give evaluations >= 1"
            )
        self.box = box
        self.evaluations = evaluations
        self._known: dict[Candidate, Values] = {}
        self._anchors: dict[Candidate, Values] = {}
        self._rounds: Rounds | None = None
        self._round: Sequence[Candidate] = ()
        self._asked: list[Candidate] = []
        self._left = evaluations

    @abstractmethod
    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """The search itself.

        Args:
            anchors: those inside the box with their values, which may be ``inf``.

        """

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        """Takes the anchors; those outside the box are not searched from."""
        for anchor in anchors:
            self._known[anchor.candidate] = anchor.values
            if self.box.clip(anchor.candidate) == anchor.candidate:
                self._anchors[anchor.candidate] = anchor.values

    def ask(self) -> list[Proposal]:
        """The next round's candidates that are not known; the same ones until they are told."""
        if not self._asked:
            self._asked = self._next_unknown()
        return [Proposal(candidate) for candidate in self._asked]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Takes the values of the candidates last asked for.

        Raises:
            ValueError: they are not those candidates' evaluations, in their order.

        """
        for candidate, evaluation in zip(self._asked, evaluations, strict=True):
            if evaluation.candidate != candidate:
                raise ValueError(f"asked for {candidate} and was told of {evaluation.candidate}")
        self._known.update((each.candidate, each.values) for each in evaluations)
        self._left -= len(self._asked)
        self._asked = []

    def expected_evaluations(self) -> int:
        """The budget; once the search has ended, what it took."""
        return self.evaluations

    def asked(self) -> int:
        """How many evaluations it has been told of, beside the anchors."""
        return self.evaluations - self._left

    def place(self, unit: Sequence[float]) -> Candidate:
        """From the unit cube to the box."""
        return self.box.clip(
            [
                low + share * (high - low)
                for share, low, high in zip(unit, self.box.low, self.box.high, strict=True)
            ]
        )

    def unit(self, candidate: Candidate) -> list[float]:
        """From the box to the unit cube."""
        return [
            min(max((weight - low) / (high - low), 0.0), 1.0)
            for weight, low, high in zip(candidate, self.box.low, self.box.high, strict=True)
        ]

    def _next_unknown(self) -> list[Candidate]:
        for _ in range(IDLE_ROUNDS):
            if self._left == 0:
                return []
            try:
                self._round = self._advance()
            except StopIteration:
                break
            if unknown := [item for item in dict.fromkeys(self._round) if item not in self._known]:
                return unknown[: self._left]
        self.evaluations -= self._left
        self._left = 0
        return []

    def _advance(self) -> Sequence[Candidate]:
        if self._rounds is None:
            self._rounds = self.rounds(self._anchors)
            return next(self._rounds)
        return self._rounds.send([self._known[candidate] for candidate in self._round])
