"""The seam between the loop and a way of searching."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from .space import Candidate


class Strategy(ABC):
    """Asks for candidates and is told their values; lower is better.

    A strategy is deterministic given what it was told, so a search resumes by telling it again
    what the journal holds.
    """

    @abstractmethod
    def ask(self) -> list[Candidate]:
        """The next candidates to evaluate, in order; empty when the search is over."""

    @abstractmethod
    def tell(self, candidates: Sequence[Candidate], values: Sequence[float]) -> None:
        """The values of all candidates last asked for."""

    @abstractmethod
    def expected_evaluations(self) -> int:
        """About how many evaluations there will be in all, for progress and plans."""
