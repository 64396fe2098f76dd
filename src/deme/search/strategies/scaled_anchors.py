"""Each anchor at its best common scale, before any strategy's own candidates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from ..evaluation import Evaluation, Proposal
from ..objectives.contract import Objective
from ..space import Box, Candidate
from ..strategy import Strategy
from ..surface import MomentSurface

SCALES = 121
"""Scales that are predicted along each direction."""
APART = 0.02
"""A scale closer than this to one that was evaluated is not evaluated again."""


class ScaledAnchors(Strategy):
    """Evaluates the anchors' directions where the moments predict them to be best.

    Merging at ``s·w`` for the best ``s`` is what the simplest search would find along the
    direction of an anchor ``w``. The anchors' own sets fix a linear model of the moments, which
    predicts every scale at once; so each direction costs one more evaluation and not a line search.
    The scale is that of the lowest prediction and its doubt together, since a linear model says
    little of what lies far outside. Only the two directions of the lowest predictions are
    evaluated.

    Args:
        inner: what searches then; it is told the scaled anchors with the others.
        objective: what is minimised.
        box: the bounds.
        origin: the candidate that is the pretrained model.
        units: of each axis; see :class:`~deme.search.surface.MomentSurface`.

    """

    def __init__(
        self,
        inner: Strategy,
        objective: Objective,
        box: Box,
        origin: Candidate,
        units: Sequence[float],
    ) -> None:
        self.inner = inner
        self.box = box
        self.origin = origin
        self.surface = MomentSurface(objective, units)
        self.anchors: list[Evaluation] = []
        self.started = False

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        """Keeps them until their scaled versions are known."""
        self.anchors = list(anchors)

    def ask(self) -> list[Proposal]:
        """The scaled anchors first."""
        if self.started:
            return self.inner.ask()
        proposals = self._proposals()
        if not proposals:
            self.tell([])
            return self.inner.ask()
        return proposals

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Begins the inner strategy with all anchors, or passes on."""
        if self.started:
            self.inner.tell(evaluations)
            return
        self.started = True
        self.inner.begin([*self.anchors, *evaluations])

    def expected_evaluations(self) -> int:
        """Two more than the inner strategy's."""
        return 2 + self.inner.expected_evaluations()

    def _proposals(self) -> list[Proposal]:
        usable = [item for item in self.anchors if math.isfinite(item.value)]
        if len(usable) < 2:
            return []
        for anchor in usable:
            self.surface.add(anchor)
        found = [self._best_scale(anchor.candidate) for anchor in usable]
        lines = sorted(item for item in found if item is not None)
        known = [anchor.candidate for anchor in self.anchors]
        chosen: list[Proposal] = []
        for predicted, candidate in lines[:2]:
            if all(_distance(candidate, other) > APART for other in known):
                known.append(candidate)
                notes = {"predicted": predicted, "reason": "anchor at its best scale"}
                chosen.append(Proposal(candidate, notes=notes))
        return chosen

    def _best_scale(self, anchor: Candidate) -> tuple[float, Candidate] | None:
        """The lowest prediction along the line through the origin and an anchor."""
        origin = torch.tensor(self.origin, dtype=torch.float64)
        direction = torch.tensor(anchor, dtype=torch.float64) - origin
        if not bool(direction.any()):
            return None
        scales = torch.linspace(-3.0, 3.0, SCALES, dtype=torch.float64)
        points = origin + scales[:, None] * direction
        low, high = (
            torch.tensor(end, dtype=torch.float64) for end in (self.box.low, self.box.high)
        )
        points = points[((points >= low - 1e-9) & (points <= high + 1e-9)).all(dim=1)]
        if not len(points):
            return None
        with torch.no_grad():
            values = self.surface.predict(points)
            cautious = values + self.surface.doubt()(points)
        best = int(cautious.argmin())
        return float(values[best]), self.box.clip(points[best].tolist())


def _distance(first: Candidate, second: Candidate) -> float:
    return max(abs(a - b) for a, b in zip(first, second, strict=True))
