"""Search on moments: predict everywhere, sample where the prediction is best, learn, repeat."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from ..evaluation import Evaluation, Proposal
from ..noise import paired_error
from ..objectives.contract import Objective
from ..space import Box, Candidate
from ..strategy import Strategy
from ..surface import MomentSurface, Region, lowest_predicted

MOST_WEIGHTS = 12
"""Up to so many weights the default budget pays for a quadratic and for moving it."""
START_RADIUS, LEAST_RADIUS = 1.0, 0.02
"""Half the side of the trusted region, in units of a weight."""
HELD_WELL, HELD_BADLY = 0.7, 0.2
"""Shares of the promised gain above which the region grows, and below which it shrinks."""
CAUTION = 1.0
"""Deviations by which a candidate that explores may be worse than it is predicted to be."""
APART = 1e-3
"""Points closer than this, in units of a weight, teach nothing new."""
PLACES = 1024
"""Points among which the least known one is looked for."""
SMALL_RADIUS = 0.1
"""In a region so small a promise that fails is noise."""
PATIENCE = 2
"""Rounds without a gain beyond the tolerance before the search ends early."""


class SurfaceStrategy(Strategy):
    """The moment surface in a trust region that moves with the best candidate.

    Every round samples where the prediction is lowest inside the region and, for the rest of the
    batch, where it may be lowest given how uncertain it is. The region is centred on the best
    candidate; it doubles when the gain came out as promised and halves when it did not. The
    anchors are the first design: zero and each expert alone fix a linear model.

    A round is idle that neither promised nor gained more than noise would give, which is ``doubt``
    times the standard error of the difference between the best candidate and the round's first,
    from their paired images: neighbours on common noise differ by little noise. A round that
    promised and failed is not idle, since the fit has just learnt. After one idle round the whole
    box is the region for once; after two the search ends. On smooth moments it finds the minimum to
    about 0.05 in each weight where the noise is that small. The fit is global and the region is
    not, so what lies outside is found only where the prediction over the whole box says so.

    Args:
        box: the bounds.
        objective: what is minimised; evaluations must carry the tables that it reads.
        evaluations: the budget beside the anchors; None: 3 N + 8 up to 12 weights and 2 N beyond.
        batch: candidates for each round.
        seed: of the spread points that predictions start from.
        units: what counts as one along each axis; None: 1, as of weights.
        radius: the first region's, in these units.
        tolerance: a share of the value that counts as no gain.
        doubt: a share of the standard error that counts as no gain.

    """

    def __init__(
        self,
        box: Box,
        objective: Objective,
        *,
        evaluations: int | None = None,
        batch: int = 2,
        seed: int = 0,
        units: Sequence[float] | None = None,
        radius: float = START_RADIUS,
        tolerance: float = 1e-4,
        doubt: float = 0.1,
    ) -> None:
        self.box = box
        self.units = tuple(units or (1.0,) * box.dimensions)
        self.surface = MomentSurface(objective, self.units)
        self.budget = surface_budget(box.dimensions) if evaluations is None else evaluations
        self.batch = batch
        self.seed = seed
        self.radius = radius
        self.tolerance = tolerance
        self.doubt = doubt
        self.best: Evaluation | None = None
        self.asked = 0
        self.rounds = 0
        self.idle = 0

    def begin(self, anchors: Sequence[Evaluation]) -> None:
        """The first design."""
        self._learn(anchors)

    def ask(self) -> list[Proposal]:
        """A round of the lowest predicted candidate and of those that may be lower still."""
        left = min(self.batch, self.budget - self.asked)
        if left <= 0 or self.idle >= PATIENCE:
            return []
        if len(self.surface.evaluations) < 2:
            return self._spread(left)
        region = self._region()
        taken = [item.candidate for item in self.surface.evaluations]
        proposals: list[Proposal] = []
        while len(proposals) < left:
            knowing = [proposal.candidate for proposal in proposals]
            proposals.append(self._propose(region, taken, knowing))
        return proposals

    def tell(self, evaluations: Sequence[Evaluation]) -> None:
        """Compares what was promised with what came, moves the region, learns."""
        self.asked += len(evaluations)
        self.rounds += 1
        before = self.best
        first = evaluations[0]
        if before is not None and "predicted" in first.notes:
            promised = before.value - float(first.notes["predicted"])
            gained = before.value - min(item.value for item in evaluations)
            little = self._little(before, first)
            sure = promised <= 2 * little or self.radius <= SMALL_RADIUS
            self.idle = self.idle + 1 if gained <= little and sure else 0
            self._adapt(promised, before.value - first.value)
        self._learn(evaluations)

    def expected_evaluations(self) -> int:
        """The budget; a search that finds nothing better ends before."""
        return self.budget

    def _learn(self, evaluations: Sequence[Evaluation]) -> None:
        for evaluation in evaluations:
            self.surface.add(evaluation)
            if not math.isfinite(evaluation.value):
                continue
            # an anchor outside the box is learnt from, but the region cannot be centred on it
            inside = self.box.clip(evaluation.candidate) == evaluation.candidate
            if inside and (self.best is None or evaluation.value < self.best.value):
                self.best = evaluation

    def _little(self, best: Evaluation, other: Evaluation) -> float:
        """A gain that is none: within the noise between these two, or a rounding of the value."""
        share = self.tolerance * abs(best.value)
        if not math.isfinite(other.value):
            return share
        error = paired_error(self.surface.objective, best.tables, other.tables)
        return max(share, self.doubt * error)

    def _adapt(self, promised: float, came: float) -> None:
        if promised <= 0 or came < HELD_BADLY * promised:
            self.radius = max(self.radius / 2, LEAST_RADIUS)
        elif came > HELD_WELL * promised:
            self.radius = min(self.radius * 2, self._widest())

    def _widest(self) -> float:
        spans = zip(self.box.low, self.box.high, self.units, strict=True)
        return max((high - low) / unit for low, high, unit in spans)

    def _region(self) -> Region:
        if self.best is None or self.idle:
            return Region(self.box.low, self.box.high)
        low = (w - self.radius * u for w, u in zip(self.best.candidate, self.units, strict=True))
        high = (w + self.radius * u for w, u in zip(self.best.candidate, self.units, strict=True))
        return Region(self.box.clip(tuple(low)), self.box.clip(tuple(high)))

    def _propose(
        self, region: Region, taken: Sequence[Candidate], knowing: Sequence[Candidate]
    ) -> Proposal:
        """The lowest prediction, or the lowest within reason once that one is being sampled."""
        seed = self.seed + 97 * self.rounds + len(knowing)
        best = [] if self.best is None else [self.best.candidate]
        if not knowing:
            point, predicted = lowest_predicted(self.surface.predict, region, seed=seed, also=best)
            candidate = self.box.clip(point)
            if self._is_new(candidate, taken):
                notes = {"predicted": predicted, "reason": "lowest prediction"}
                return Proposal(candidate, notes=notes)
        candidate = self._explore(region, [*taken, *knowing], knowing, seed)
        with torch.no_grad():
            predicted = float(self.surface.predict(torch.tensor(candidate, dtype=torch.float64)))
        return Proposal(candidate, notes={"predicted": predicted, "reason": "uncertainty"})

    def _explore(
        self, region: Region, taken: Sequence[Candidate], knowing: Sequence[Candidate], seed: int
    ) -> Candidate:
        doubt = self.surface.doubt(knowing)

        def optimistic(points: Tensor) -> Tensor:
            return self.surface.predict(points) - CAUTION * doubt(points)

        point, _ = lowest_predicted(optimistic, region, seed=seed)
        candidate = self.box.clip(point)
        if self._is_new(candidate, taken):
            return candidate
        return self._least_known(region, [*knowing, candidate], seed)

    def _least_known(self, region: Region, knowing: Sequence[Candidate], seed: int) -> Candidate:
        """Where one more set would teach the most."""
        points = region.spread(PLACES, seed)
        with torch.no_grad():
            doubt = self.surface.doubt(knowing)(points)
        return self.box.clip(points[int(doubt.argmax())].tolist())

    def _is_new(self, candidate: Candidate, taken: Sequence[Candidate]) -> bool:
        def distance(other: Candidate) -> float:
            pairs = zip(candidate, other, self.units, strict=True)
            return max(abs(a - b) / unit for a, b, unit in pairs)

        return all(distance(other) > APART for other in taken)

    def _spread(self, count: int) -> list[Proposal]:
        """Without anchors to fit there is nothing to predict yet."""
        region = Region(self.box.low, self.box.high)
        points = region.spread(self.asked + count, self.seed)[self.asked :]
        notes = {"reason": "design"}
        return [Proposal(self.box.clip(point), notes=notes) for point in points.tolist()]


def surface_budget(dimensions: int) -> int:
    """How many evaluations a surface takes beside the anchors, by default.

    Raises:
        ConfigError: no dimension.

    """
    if dimensions < 1:
        raise ConfigError("A search needs at least one weight", fix="name at least one expert")
    return 3 * dimensions + 8 if dimensions <= MOST_WEIGHTS else 2 * dimensions
