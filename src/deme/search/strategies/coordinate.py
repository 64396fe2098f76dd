"""Coordinate search: the common scale first, then one weight after another."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence

from ..space import Box, Candidate
from .line_search import Line, minimise_along
from .rounds import Rounds, RoundStrategy, Values

Direction = Sequence[float]
LineRounds = Generator[list[Candidate], list[Values], Candidate]
"""As rounds; returns the best candidate of the line."""
FIRST_STEP = 0.25
"""First step along a weight, in parts of its bounds' width; halved with every cycle."""
SMALLEST_STEP = 5
"""Steps do not go below so many tolerances: a parabola over a short step fits the noise."""
LINE_EVALUATIONS = 6
"""At most for one line, so that the first lines do not use up the budget."""
SAME = 1e-8
"""A candidate so near to a line (in parts of the bounds' widths) lies on it."""


class CoordinateStrategy(RoundStrategy):
    """Line searches: along the best anchor's scale, then along each weight, over and over.

    The first line goes through zero and the best anchor, so that the common scale is right before
    single weights are looked at. Then cycles over the weights, and after each cycle along the
    whole of its move (Powell 1964), which follows a valley that lies across the weights. What is
    known of a line is used. See :func:`~.line_search.minimise_along`.

    It ends where a cycle moves no weight by ``tolerance`` of its bounds' width.

    Precision: on a quadratic whose weights do not interact, ``tolerance`` of the bounds' width in
    every weight after the first cycle, at most ``4 N + 2`` evaluations, and up to ``2 N`` more to
    see that it has ended. Where they interact it ends up to ``tolerance · (1 + κ / 2)`` away, in
    the direction that matters least: κ is the ratio of the greatest and the least curvature.

    Args:
        box: the bounds.
        evaluations: the most that are asked for beside the anchors.
        tolerance: in parts of each weight's bounds' width.

    """

    def __init__(self, box: Box, evaluations: int, *, tolerance: float = 0.01) -> None:
        super().__init__(box, evaluations)
        self.tolerance = tolerance
        self.widths = [high - low for low, high in zip(box.low, box.high, strict=True)]

    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """One line after another until a whole cycle moves nothing."""
        best = yield from self._start(anchors)
        step = FIRST_STEP
        while True:
            before = best
            for axis in range(self.box.dimensions):
                best = yield from self._search_axis(best, axis, step)
            moved = self._distance(before, best)
            if moved < self.tolerance and step < FIRST_STEP:
                return
            if moved >= self.tolerance and self.box.dimensions > 1:
                whole = [new - old for new, old in zip(best, before, strict=True)]
                best = yield from self._search_line(best, whole, moved)
            step = max(step / 2, SMALLEST_STEP * self.tolerance)

    def expected_evaluations(self) -> int:
        """Two cycles at first, later a cycle more than there have been; the budget at most."""
        cycle = 3 * self.box.dimensions
        return min(self.evaluations, max(2 * cycle, self.asked() + cycle))

    def _start(self, anchors: Mapping[Candidate, Values]) -> LineRounds:
        """The best candidate along the best anchor's scale; the box's middle without anchors."""
        if not anchors:
            middle = self.place([0.5] * self.box.dimensions)
            yield [middle]
            return middle
        ranked = sorted(anchors, key=lambda candidate: (anchors[candidate][0], candidate))
        directions = [candidate for candidate in ranked if any(candidate)]
        if not directions or self.box.dimensions == 1:
            return ranked[0]
        scaled = yield from self._search_line(directions[0], directions[0], FIRST_STEP)
        return min(scaled, ranked[0], key=lambda candidate: self._known[candidate][0])

    def _search_axis(self, start: Candidate, axis: int, step: float) -> LineRounds:
        direction = [0.0] * self.box.dimensions
        direction[axis] = self.widths[axis]
        return (yield from self._search_line(start, direction, step))

    def _search_line(self, start: Candidate, direction: Direction, step: float) -> LineRounds:
        """The best of ``start + place · direction`` inside the box.

        Args:
            start: a known candidate, at place 0.
            direction: of the line.
            step: the first, as the largest part of a weight's bounds that it covers.

        """
        longest = max(abs(d) / width for d, width in zip(direction, self.widths, strict=True))
        low, high = self._inside(start, direction)
        line = Line(low, high, step / longest, self.tolerance / longest, LINE_EVALUATIONS)
        at = self._on_line(start, direction)
        search = minimise_along(
            line, {place: self._known[candidate][0] for place, candidate in at.items()}
        )
        try:
            places = next(search)
            while True:
                wanted = [self._along(start, direction, place) for place in places]
                at.update(zip(places, wanted, strict=True))
                values = yield wanted
                places = search.send([value[0] for value in values])
        except StopIteration as ended:
            return at[ended.value]

    def _along(self, start: Candidate, direction: Direction, place: float) -> Candidate:
        return self.box.clip([w + place * d for w, d in zip(start, direction, strict=True)])

    def _inside(self, start: Candidate, direction: Direction) -> tuple[float, float]:
        """Smallest and largest place whose candidate is in the box."""
        low, high = -math.inf, math.inf
        for w, d, below, above in zip(start, direction, self.box.low, self.box.high, strict=True):
            if d:
                ends = sorted(((below - w) / d, (above - w) / d))
                low, high = max(low, ends[0]), min(high, ends[1])
        return low, high

    def _on_line(self, start: Candidate, direction: Direction) -> dict[float, Candidate]:
        """Known candidates in the box on a line, by their place."""
        square = sum((d / width) ** 2 for d, width in zip(direction, self.widths, strict=True))
        found = {}
        for candidate in self._known:
            if self.box.clip(candidate) != candidate:
                continue
            offsets = [(c - w) for c, w in zip(candidate, start, strict=True)]
            place = (
                sum(o * d / w**2 for o, d, w in zip(offsets, direction, self.widths, strict=True))
                / square
            )
            if self._distance(candidate, self._along(start, direction, place)) < SAME:
                found[place] = candidate
        return found

    def _distance(self, one: Candidate, other: Candidate) -> float:
        """The largest difference of a weight, in parts of its bounds' width."""
        return max(abs(a - b) / w for a, b, w in zip(one, other, self.widths, strict=True))
