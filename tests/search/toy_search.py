"""A search without a model: an image's features are numbers made from candidate and index."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from deme.search.evaluation import Evaluation, Proposal, Tables
from deme.search.loop import SearchResult, search_weights
from deme.search.measuring import Measurement, measure
from deme.search.objectives.contract import Mixture, Objective, RowWeights
from deme.search.set_store import SetStore
from deme.search.space import Box, Candidate
from deme.search.strategy import Strategy
from deme.search.study import Study

ANCHORS: tuple[Candidate, ...] = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.4, 0.4))
IMAGES = 20
AXES = {"early": (-1.0, 1.0), "late": (-1.0, 1.0)}
Function = Callable[[Candidate], float]


def quadratic(weights: Candidate) -> float:
    return (weights[0] - 0.3) ** 2 + (weights[1] + 0.2) ** 2


def features(candidate: Candidate, rows: range, function: Function = quadratic) -> Tensor:
    """Row n is the function's value and a wave in n that every candidate shares, ``(rows, 1)``."""
    wave = torch.sin(torch.tensor(list(rows), dtype=torch.float32))
    return (wave + function(candidate))[:, None]


class MeanObjective(Objective):
    """The mean of a table."""

    name = "mean"
    reads = ("features",)

    def value(self, tables: Tables, row_weights: RowWeights | None = None) -> Tensor:
        return tables["features"].double().mean()

    def mixture(self) -> Mixture:
        raise NotImplementedError


class SpreadObjective(MeanObjective):
    """The distance of the mean from one."""

    name = "spread"

    def value(self, tables: Tables, row_weights: RowWeights | None = None) -> Tensor:
        return (tables["features"].double().mean() - 1).abs()


class Painter:
    """Draws toy images, notes which, and may be killed before one of its draws."""

    def __init__(self, function: Function = quadratic, killed_at: int | None = None) -> None:
        self.function = function
        self.killed_at = killed_at
        self.draws: list[tuple[Candidate, range]] = []

    def __call__(self, candidate: Candidate, rows: range) -> Tables:
        if len(self.draws) == self.killed_at:
            raise KeyboardInterrupt
        self.draws.append((candidate, rows))
        return {"features": features(candidate, rows, self.function)}


class RoundsStrategy(Strategy):
    """Asks for the rounds it was given, and keeps what it was told."""

    def __init__(self, *rounds: Sequence[Proposal]) -> None:
        self.rounds = list(rounds)
        self.anchors: list[Evaluation] = []
        self.told: list[list[Evaluation]] = []

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        self.anchors = list(anchors)

    def ask(self) -> list[Proposal]:
        return list(self.rounds[len(self.told)]) if len(self.told) < len(self.rounds) else []

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        self.told.append(list(evaluations))

    def expected_evaluations(self) -> int:
        return sum(map(len, self.rounds))


class DescendingStrategy(Strategy):
    """Steps around the best so far, halved each round: what it asks depends on what it was told."""

    def __init__(self, rounds: int = 2) -> None:
        self.left = rounds
        self.step = 0.8
        self.known: dict[Candidate, float] = {}

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        self.known = {item.candidate: item.value for item in anchors}

    def ask(self) -> list[Proposal]:
        if not self.left:
            return []
        x, y = min(self.known, key=lambda candidate: (self.known[candidate], candidate))
        s = self.step
        around = [(x + s, y), (x - s, y), (x, y + s), (x, y - s)]
        return [Proposal(tuple(round(w, 10) for w in point)) for point in around]

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        self.known.update({item.candidate: item.value for item in evaluations})
        self.step /= 2
        self.left -= 1

    def expected_evaluations(self) -> int:
        return 4 * self.left


def toy_study(folder: Path, key: str = "key", objectives: Sequence[str] = ("mean",)) -> Study:
    return Study(folder / "study.db", key, objectives=objectives, axes=AXES)


def run_toy(
    folder: Path,
    painter: Painter,
    strategy: Strategy,
    *,
    key: str = "key",
    objectives: Sequence[Objective] = (MeanObjective(),),
    on_progress: Callable[[float, float, float], None] | None = None,
    box: Box | None = None,
) -> SearchResult:
    """A whole search in this process."""
    sets = SetStore(folder / "features", key)

    def evaluate(proposals: Sequence[Proposal]) -> Iterator[Measurement]:
        for item in proposals:
            candidate = item.candidate
            yield measure(item, sets, lambda rows, at=candidate: painter(at, rows), objectives)

    return search_weights(
        strategy,
        evaluate,
        study=toy_study(folder, key, [objective.name for objective in objectives]),
        sets=sets,
        images=IMAGES,
        anchors=ANCHORS,
        box=box,
        on_progress=on_progress,
    )
