"""Functions of weights whose minimum is known, and a search that checks what is asked for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from deme.randomness import generator
from deme.search.evaluation import Evaluation, Proposal
from deme.search.space import Box, Candidate
from deme.search.strategy import Strategy

FULL = 5000
Function = Callable[[Candidate], float]


@dataclass(frozen=True)
class Quadratic:
    """``(w − optimum)ᵀ A (w − optimum)``, plus noise that each candidate has of its own."""

    optimum: tuple[float, ...]
    matrix: torch.Tensor
    noise: float = 0.0

    def __call__(self, candidate: Candidate) -> float:
        offset = torch.tensor(candidate, dtype=torch.float64) - torch.tensor(
            self.optimum, dtype=torch.float64
        )
        draw = torch.randn((), generator=generator(0, str(candidate)), dtype=torch.float64)
        return float(offset @ self.matrix @ offset + self.noise * draw)


def separable(n: int, seed: int = 0, *, border: bool = False, noise: float = 0.0) -> Quadratic:
    """Curvatures from 1 to 10; with ``border``, every other weight's optimum is at 1.3."""
    draws = generator(seed, "separable")
    optimum = torch.rand(n, generator=draws, dtype=torch.float64)
    if border:
        optimum[::2] = 1.3
    curvature = 1 + 9 * torch.rand(n, generator=draws, dtype=torch.float64)
    return Quadratic(tuple(optimum.tolist()), torch.diag(curvature), noise)


def valley(n: int, condition: float, seed: int = 0) -> Quadratic:
    """A valley that lies across the weights; its curvatures' ratio is ``condition``."""
    draws = generator(seed, "valley")
    optimum = 0.2 + 0.6 * torch.rand(n, generator=draws, dtype=torch.float64)
    axes = torch.linalg.qr(torch.randn(n, n, generator=draws, dtype=torch.float64))[0]
    curvature = torch.logspace(0, -math.log10(condition), n, dtype=torch.float64)
    return Quadratic(tuple(optimum.tolist()), axes @ torch.diag(curvature) @ axes.T)


def anchors_of(n: int) -> list[Candidate]:
    """Zero, each weight alone, 1/N, ones."""
    alone = [tuple(float(i == j) for j in range(n)) for i in range(n)]
    every = [(0.0,) * n, *alone, (round(1 / n, 10),) * n, (1.0,) * n]
    return list(dict.fromkeys(every))


@dataclass
class Search:
    """What a search asked for, round by round, and what came of it."""

    rounds: list[list[Proposal]] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)

    @property
    def asked(self) -> list[Candidate]:
        return [proposal.candidate for asked in self.rounds for proposal in asked]

    @property
    def best(self) -> Candidate:
        return min(self.evaluations, key=lambda each: (each.value, each.candidate)).candidate

    def error(self, optimum: Sequence[float], box: Box) -> float:
        """The best's largest distance to the box's best, in parts of the bounds' width."""
        nearest = box.clip(optimum)
        return max(
            abs(a - b) / (high - low)
            for a, b, low, high in zip(self.best, nearest, box.low, box.high, strict=True)
        )


def evaluation(function: Function, candidate: Candidate, images: int = FULL) -> Evaluation:
    return Evaluation(candidate, images, (function(candidate),))


def search(
    strategy: Strategy, function: Function, box: Box, anchors: Sequence[Candidate] = ()
) -> Search:
    """Runs a strategy to its end; nothing may be asked for twice or outside the box."""
    found = Search(evaluations=[evaluation(function, anchor) for anchor in anchors])
    strategy.begin(found.evaluations)
    known = {(each.candidate, each.images) for each in found.evaluations}
    while proposals := strategy.ask():
        found.rounds.append(list(proposals))
        for proposal in proposals:
            key = (proposal.candidate, proposal.images or FULL)
            assert key not in known
            known.add(key)
            if proposal.candidate in anchors:
                continue  # at another count; anchors are evaluated wherever they are
            for weight, low, high in zip(proposal.candidate, box.low, box.high, strict=True):
                assert low <= weight <= high
        told = [evaluation(function, each.candidate, each.images or FULL) for each in proposals]
        found.evaluations += told
        strategy.tell(told)
        assert len(found.rounds) < 2000
    assert strategy.ask() == []
    return found
