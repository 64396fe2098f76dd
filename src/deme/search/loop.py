"""The search loop: ask, measure what the study does not know, record, tell."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from ..errors import TrainingError
from .evaluation import Evaluation, Proposal
from .measuring import Measurement
from .result import SearchResult, pareto_front
from .set_store import SetStore, rounded
from .space import Box, Candidate
from .strategy import Strategy
from .study import Study

Evaluate = Callable[[Sequence[Proposal]], Iterable[Measurement]]
"""Measures different candidates, side by side perhaps; results in order. Each proposal says of how
many images."""
ProgressCallback = Callable[[float, float, float], None]
"""Called with the cost so far and expected, in full sets, and the best value so far."""
Key = tuple[Candidate, int]


def search_weights(
    strategy: Strategy,
    evaluate: Evaluate,
    *,
    study: Study,
    sets: SetStore,
    images: int,
    anchors: Sequence[Candidate] = (),
    box: Box | None = None,
    on_progress: ProgressCallback | None = None,
) -> SearchResult:
    """Runs a strategy to its end. No candidate is paid for twice, whatever killed the search.

    Args:
        strategy: what to evaluate next.
        evaluate: from proposals to values; see :func:`~deme.search.measuring.measure`.
        study: what is known already; every evaluation is recorded in it, in order.
        sets: the features. An evaluation counts as known while it has them.
        images: a full set: what a proposal means that names no number.
        anchors: candidates evaluated first, in full, whatever the strategy.
        box: the bounds that the winner must keep; anchors beyond them are there to compare with.
        on_progress: called after each evaluation.

    Raises:
        TrainingError: no candidate has a finite value.

    """
    sets.prepare()
    driver = _Driver(evaluate, study, sets, images, box)
    expected = strategy.expected_evaluations() + len(anchors)

    def evaluations_of(proposals: Sequence[Proposal]) -> list[Evaluation]:
        for _ in driver.evaluate(proposals):
            if on_progress is not None:
                done = math.fsum(driver.costs.values())
                on_progress(done, max(done, expected), driver.best().value)
        return [driver.told(proposal) for proposal in proposals]

    told = evaluations_of([Proposal(anchor) for anchor in dict.fromkeys(anchors)])
    with _one_thread():
        strategy.begin(told)
        proposals = strategy.ask()
    while proposals:
        told = evaluations_of(proposals)
        with _one_thread():
            strategy.tell(told)
            proposals = strategy.ask()
    return driver.result()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Strategies think in one thread: sums in another order would ask for other candidates.

    A search that was killed goes on as it began only if it asks for the same again, on however
    many threads it is resumed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Driver:
    """What has been evaluated, by candidate and number of images."""

    def __init__(
        self,
        evaluate: Evaluate,
        study: Study,
        sets: SetStore,
        images: int,
        box: Box | None,
    ) -> None:
        self.box = box
        self.measure = evaluate
        self.study = study
        self.sets = sets
        self.images = images
        self.order: list[Key] = []
        self.done: dict[Key, Evaluation] = {}
        self.costs: dict[Key, float] = {}
        self.drawn: dict[Candidate, int] = {}

    def evaluate(self, proposals: Sequence[Proposal]) -> Iterator[Evaluation]:
        """Evaluates those that are new, yielding each as it is known."""
        new = {self._key(item): self._filled(item) for item in reversed(proposals)}
        wanted = [key for key in dict.fromkeys(map(self._key, proposals)) if key not in self.done]
        self.order += wanted
        while wanted:  # a candidate's smaller set comes before its larger one
            smallest: dict[Candidate, Key] = {}
            for key in sorted(wanted, key=lambda key: key[1]):
                smallest.setdefault(key[0], key)
            batch = [key for key in wanted if smallest[key[0]] == key]
            wanted = [key for key in wanted if smallest[key[0]] != key]
            yield from self._evaluate_side_by_side([new[key] for key in batch])

    def _evaluate_side_by_side(self, proposals: Sequence[Proposal]) -> Iterator[Evaluation]:
        known = [self._is_known(proposal) for proposal in proposals]
        for proposal in itertools.compress(proposals, known):
            yield self._finish(proposal, self._values(proposal))
        unknown = [proposal for proposal, found in zip(proposals, known, strict=True) if not found]
        for proposal, measured in zip(unknown, self.measure(unknown), strict=True):
            yield self._finish(proposal, measured.values, measured.seconds)

    def _finish(
        self, proposal: Proposal, values: Sequence[float], seconds: float | None = None
    ) -> Evaluation:
        key = self._key(proposal)
        candidate, images = key
        drawn = self.drawn.get(candidate, 0)
        self.drawn[candidate] = max(drawn, images)
        self.costs[key] = max(images - drawn, 0) / self.images
        evaluation = Evaluation(
            candidate,
            images,
            tuple(value if math.isfinite(value) else math.inf for value in values),
            self.sets.read(candidate, images),
            proposal.notes,
        )
        if seconds is not None:
            path = self.sets.path(candidate)
            self.study.record(
                evaluation,
                cost=self.costs[key],
                seconds=seconds,
                features=f"{path.parent.name}/{path.name}",
            )
            # where only the features were lost, what the study has stands
            evaluation = replace(evaluation, values=self._values(proposal))
        self.done[key] = evaluation
        return evaluation

    def told(self, proposal: Proposal) -> Evaluation:
        """The evaluation of a proposal, with what this proposal noted."""
        return replace(self.done[self._key(proposal)], notes=proposal.notes)

    def best(self) -> Evaluation:
        """The lowest value among the evaluations of the most images, inside the bounds if any."""
        largest = list(self._largest())
        box = self.box
        inside = [x for x in largest if box is None or box.clip(x.candidate) == x.candidate]
        return min(inside or largest, key=lambda item: (item.value, item.candidate))

    def result(self) -> SearchResult:
        """All of it.

        Raises:
            TrainingError: there is no finite value.

        """
        if not self.done or not math.isfinite(self.best().value):
            raise TrainingError(
                "No merging weights gave a finite objective",
                fix="look at the experts' losses; lower decouple.learning_rate or search.bounds",
            )
        return SearchResult(
            self.best(),
            tuple(self.done[key] for key in self.order),
            tuple(self.costs[key] for key in self.order),
            pareto_front(self._largest()) if len(self.best().values) > 1 else (),
        )

    def _largest(self) -> list[Evaluation]:
        most = max(images for _, images in self.done)
        return [self.done[key] for key in self.order if key in self.done and key[1] == most]

    def _is_known(self, proposal: Proposal) -> bool:
        candidate, images = self._key(proposal)
        return (
            self.study.find(candidate, images) is not None and self.sets.have(candidate) >= images
        )

    def _values(self, proposal: Proposal) -> tuple[float, ...]:
        return self.study.find(*self._key(proposal)) or ()

    def _filled(self, proposal: Proposal) -> Proposal:
        candidate, images = self._key(proposal)
        return replace(proposal, candidate=candidate, images=images)

    def _key(self, proposal: Proposal) -> Key:
        return rounded(proposal.candidate), min(proposal.images or self.images, self.images)
