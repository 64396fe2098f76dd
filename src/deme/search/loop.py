"""The search loop: ask, evaluate what the journal does not know, tell."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ..errors import TrainingError
from .journal import Journal
from .space import Candidate
from .strategy import Strategy

Evaluate = Callable[[Candidate], float]
Mapper = Callable[[Evaluate, Sequence[Candidate]], Iterable[float]]
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
    mapper: Mapper = map,
    on_progress: ProgressCallback | None = None,
) -> SearchResult:
    """Runs a strategy to its end.

    Args:
        strategy: what to evaluate next.
        evaluate: from weights to the objective's value, lower is better.
        journal: what is known already; every evaluation is appended to it.
        anchors: candidates evaluated first whatever the strategy (zero, one-hot, uniform).
        mapper: as the built-in ``map``; one that works side by side evaluates the candidates of
            a round at the same time.
        on_progress: called after each evaluation.

    Raises:
        TrainingError: no candidate has a finite value.

    """
    done: dict[Candidate, float] = {}
    total = strategy.expected_evaluations() + len(anchors)

    def values_of(candidates: Sequence[Candidate]) -> list[float]:
        wanted = [item for item in dict.fromkeys(candidates) if item not in done]
        unknown = [item for item in wanted if item not in journal.values]
        done.update({item: journal.values[item] for item in wanted if item in journal.values})
        for candidate, value in zip(unknown, mapper(evaluate, unknown), strict=True):
            journal.record(candidate, value if math.isfinite(value) else math.inf)
            done[candidate] = journal.values[candidate]
            if on_progress is not None:
                on_progress(len(done), total, min(done.values()))
        return [done[candidate] for candidate in candidates]

    order = [*dict.fromkeys(anchors)]
    values_of(order)
    while candidates := strategy.ask():
        order += candidates
        strategy.tell(candidates, values_of(candidates))
    best = min(done, key=lambda candidate: (done[candidate], candidate), default=None)
    if best is None or not math.isfinite(done[best]):
        raise TrainingError(
            "No merging weights gave a finite objective",
            fix="look at the experts' losses; lower decouple.learning_rate or search.bounds",
        )
    in_order = tuple((item, done[item]) for item in dict.fromkeys(order))
    return SearchResult(best, done[best], in_order)
