"""The seam between the loop and a way of searching."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .evaluation import Evaluation, Proposal


class Strategy(ABC):
    """Asks for candidates and is told what came of them; lower values are better.

    A strategy is deterministic given what it was told, so a search resumes by telling it again
    what the study holds. How many workers there are must not change what it asks for.
    """

    def begin(self, anchors: Sequence[Evaluation]) -> None:  # noqa: B027  # optional
        """Is called once, before the first ask, with what every search evaluates anyway."""

    @abstractmethod
    def ask(self) -> list[Proposal]:
        """The next candidates to evaluate, in order; empty when the search is over."""

    @abstractmethod
    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """What came of all the proposals last asked for, in their order."""

    @abstractmethod
    def expected_evaluations(self) -> int:
        """About how many evaluations there will be in all, for progress and plans."""
