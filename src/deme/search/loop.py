"""The search loop: ask, evaluate what the journal does not know, tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import TrainingError
from .journal import Journal
from .space import Candidate
from .strategy import Strategy

Evaluate = Callable[[Candidate], float]
ProgressCallback = Callable[[int, int, float], None]
"""Called with evaluations done, evaluations expected, and the best value so far."""


@dataclass(frozen=True)
class SearchResult:
    """The best candidate and all that were evaluated, in order."""

    best: Candidate
    value: float
    evaluations: tuple[tuple[Candidate, float], ...]


def search_weights(
    strategy: Strategy,
    evaluate: Evaluate,
    journal: Journal,
    *,
    anchors: Sequence[Candidate] = (),
    on_progress: ProgressCallback | None = None,
) -> SearchResult:
    """Runs a strategy to its end.

    Args:
        strategy: what to evaluate next.
        evaluate: from weights to the objective's value, lower is better.
        journal: what is known already; every evaluation is appended to it.
        anchors: candidates evaluated first whatever the strategy (zero, one-hot, uniform).
        on_progress: called after each evaluation.

    Raises:
        TrainingError: no candidate has a finite value.

    """
    done: dict[Candidate, float] = {}
    total = strategy.expected_evaluations() + len(anchors)

    def value_of(candidate: Candidate) -> float:
        if candidate not in done:
            if candidate not in journal.values:
                value = evaluate(candidate)
                journal.record(candidate, value if math.isfinite(value) else math.inf)
            done[candidate] = journal.values[candidate]
            if on_progress is not None:
                on_progress(len(done), total, min(done.values()))
        return done[candidate]

    for anchor in anchors:
        value_of(anchor)
    while candidates := strategy.ask():
        strategy.tell(candidates, [value_of(candidate) for candidate in candidates])
    best = min(done, key=lambda candidate: (done[candidate], candidate), default=None)
    if best is None or not math.isfinite(done[best]):
        raise TrainingError(
            "No merging weights gave a finite objective",
            fix="look at the experts' losses; lower decouple.learning_rate or search.bounds",
        )
    return SearchResult(best, done[best], tuple(done.items()))
