"""Gradient search: the denoising loss is minimised without sampling, then a few sets are drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from ...errors import ConfigError
from ..quadratic_loss import QuadraticLoss
from ..space import Box, Candidate
from .line_search import Line, minimise_along
from .rounds import Rounds, RoundStrategy, Values

SCALES = (1.0, 0.5, 1.5, 0.75, 2.0)
"""Multiples of the loss's minimiser that are drawn first."""
SCALE_TOLERANCE = 0.02
"""Scales nearer than this are the same."""
DEFAULT_EVALUATIONS = 8
"""The first scales and a few between them."""
SMALLEST_DECREASE = 1e-6
"""A step that promises less than this part of the loss is not taken: float32 does not see it."""
POOR, GOOD = 0.25, 0.75
"""Shares of the promised decrease: below, the trust region shrinks; above, it grows."""


class DifferentiableLoss(Protocol):
    """A loss of merging weights with a local model, as :class:`~..denoising.DenoisingProblem`."""

    def value(self, weights: Sequence[float]) -> float:
        """``L(w)``."""
        ...

    def quadratic(self, weights: Sequence[float]) -> QuadraticLoss:
        """A quadratic that agrees with ``L`` in value and gradient at ``w``."""
        ...


def minimise_in_box(loss: DifferentiableLoss, box: Box, *, steps: int = 12) -> Candidate:
    """Where in the box the loss is least, from zero or the point of the box nearest to it.

    Gauss–Newton with a trust region (Levenberg's idea, in a box): the first step is the quadratic's
    minimiser over the whole box, the closed form; if the loss does not fall as promised, the step
    is looked for in a smaller box around the best point. Deterministic. A local minimum where the
    loss has several.

    Args:
        loss: what is minimised.
        box: the bounds.
        steps: at most so many steps are tried, each for one value and at most one quadratic.

    """
    at = box.clip([0.0] * box.dimensions)
    model = loss.quadratic(at)
    radius = max(high - low for low, high in zip(box.low, box.high, strict=True))
    for _ in range(steps):
        proposed = model.minimiser(_around(at, radius, box))
        promised = model.value - model(proposed)
        if promised <= SMALLEST_DECREASE * abs(model.value):
            break
        share = (model.value - loss.value(proposed)) / promised
        length = max(abs(new - old) for new, old in zip(proposed, at, strict=True))
        if not share >= POOR:  # so written, it holds for a loss that is not a number too
            radius = length / 4
        elif share > GOOD:
            radius = max(radius, 2 * length)
        if share > 0:
            at = proposed
            model = loss.quadratic(at)
    return at


def _around(center: Candidate, radius: float, box: Box) -> Box:
    """The part of the box within ``radius`` of a point of it, in every weight."""
    return Box(
        tuple(max(low, at - radius) for low, at in zip(box.low, center, strict=True)),
        tuple(min(high, at + radius) for high, at in zip(box.high, center, strict=True)),
    )


class GradientStrategy(RoundStrategy):
    """Draws the denoising loss's minimiser and other scales of it.

    The loss is not the distance: a merge that fits the noise best need not make the best images,
    and jointly finetuned models have had the lowest loss and the largest distance. On the bundled
    digits the distance falls from zero *away* from the loss's minimiser. What the loss offers is a
    direction for the price of a few passes over some images, without sampling, and the sampler has
    to say how far to go along it and on which side: the minimiser ``w*`` and the scales 0.5, 1.5,
    0.75 and 2 of it are drawn, then those of a line search (parabolas, golden sections) that also
    goes through zero to the other side, to :data:`SCALE_TOLERANCE` or to the budget's end. Scales
    that leave the box are left out; the line is not bent along its sides.

    Args:
        box: the bounds.
        minimise: finds ``w*``; called once, at the first ask, and deterministic. See
            :func:`minimise_in_box`.
        evaluations: the most that are asked for beside the anchors.

    Raises:
        ConfigError: a budget below 1.

    """

    def __init__(
        self,
        box: Box,
        minimise: Callable[[], Sequence[float]],
        evaluations: int = DEFAULT_EVALUATIONS,
    ) -> None:
        super().__init__(box, evaluations)
        self.minimise = minimise

    def rounds(self, anchors: Mapping[Candidate, Values]) -> Rounds:
        """The scales of ``w*``, then the places that the line search wants."""
        direction = self._minimiser()
        low, high = self._scales_inside(direction)
        scales = [scale for scale in SCALES if low <= scale <= high]
        values = yield [self._scaled(direction, scale) for scale in scales]
        if not any(direction):
            return
        known = {scale: value[0] for scale, value in zip(scales, values, strict=True)}
        zero = self._scaled(direction, 0.0)
        if low <= 0 <= high and zero in anchors:
            known[0.0] = anchors[zero][0]
        line = Line(low, high, SCALES[-1] - SCALES[0], SCALE_TOLERANCE, self.evaluations)
        search = minimise_along(line, known)
        wanted = next(search, None)
        while wanted is not None:
            values = yield [self._scaled(direction, scale) for scale in wanted]
            try:
                wanted = search.send([value[0] for value in values])
            except StopIteration:
                return

    def _minimiser(self) -> Candidate:
        found = tuple(self.minimise())
        if len(found) != self.box.dimensions or not all(map(math.isfinite, found)):
            raise ConfigError(
                f"The loss's minimiser {found} is not a point of {self.box.dimensions} weights",
                fix="give a minimise that returns one finite weight for each of the box's",
            )
        return self.box.clip(found)

    def _scaled(self, direction: Candidate, scale: float) -> Candidate:
        return self.box.clip([scale * weight for weight in direction])

    def _scales_inside(self, direction: Candidate) -> tuple[float, float]:
        """Smallest and largest scale at which the direction is in the box, as it is at 1."""
        lowest, highest = -math.inf, math.inf
        for weight, low, high in zip(direction, self.box.low, self.box.high, strict=True):
            if weight:
                ends = sorted((low / weight, high / weight))
                lowest, highest = max(lowest, ends[0]), min(highest, ends[1])
        return min(lowest, 1.0), max(highest, 1.0)  # whatever rounding says
