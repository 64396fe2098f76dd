"""The least value along a line: bracketing, then parabolas, golden sections where they fail."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass

GOLDEN = (3 - math.sqrt(5)) / 2
"""The smaller part of a golden section."""
LineSearch = Generator[list[float], list[float], float]
"""Yields places on the line, is sent their values, returns the best place."""


@dataclass(frozen=True)
class Line:
    """Where on a line is looked.

    Attributes:
        low: smallest place.
        high: largest place.
        step: how far to the sides of the best is looked first.
        tolerance: places nearer than this are the same.
        evaluations: at most so many (one more where both sides are looked at at once).

    """

    low: float
    high: float
    step: float
    tolerance: float
    evaluations: int


def minimise_along(line: Line, known: Mapping[float, float]) -> LineSearch:
    """Brackets the least value and closes in on it (after Brent 1973, chapter 5).

    First steps to both sides of the best, growing by the golden ratio, until it has a worse
    neighbour or the line's end on either side; then the vertex of the parabola through the best
    and its neighbours, until that is no new place. A golden section of the larger side where the
    parabola has no minimum or a neighbour is infinite. On a quadratic that is three evaluations; a
    valley that is narrower than the step may be taken for the parabola's, so come again with a
    smaller one.

    Args:
        line: where.
        known: values of places that are known, at least one; ``inf`` is worse than any number.

    """
    points = dict(known)
    step, left = line.step, line.evaluations
    while left > 0:
        wanted = _outwards(points, line, step)
        if wanted:
            step /= 1 - GOLDEN
        elif (vertex := _inwards(points, line)) is not None:
            wanted = [vertex]
        else:
            break
        points.update(zip(wanted, (yield wanted), strict=True))
        left -= len(wanted)
    return _best(points)


def _best(points: Mapping[float, float]) -> float:
    return min(points, key=lambda place: (points[place], abs(place), place))


def _neighbours(points: Mapping[float, float]) -> tuple[float | None, float, float | None]:
    places = sorted(points)
    at = places.index(_best(points))
    left = places[at - 1] if at > 0 else None
    right = places[at + 1] if at + 1 < len(places) else None
    return left, places[at], right


def _outwards(points: Mapping[float, float], line: Line, step: float) -> list[float]:
    left, best, right = _neighbours(points)
    wanted = []
    if left is None and best - line.low > line.tolerance:
        wanted.append(max(line.low, best - step))
    if right is None and line.high - best > line.tolerance:
        wanted.append(min(line.high, best + step))
    return wanted


def _inwards(points: Mapping[float, float], line: Line) -> float | None:
    """A new place between the best and its neighbours; None where there is none."""
    left, best, right = _neighbours(points)
    vertex = _vertex(points, line)
    if vertex is None:
        vertex = _section(
            line.low if left is None else left, best, line.high if right is None else right
        )
    if min(abs(vertex - place) for place in points) >= line.tolerance:
        return vertex
    return None


def _vertex(points: Mapping[float, float], line: Line) -> float | None:
    """Of the parabola through the best and the two places nearest to it on the line."""
    left, best, right = _neighbours(points)
    places = sorted(points, key=lambda place: abs(place - best))[:3]
    if left is not None and right is not None:
        places = [best, left, right]
    if len(places) < 3 or not all(math.isfinite(points[place]) for place in places):
        return None
    (x, u, v), (f, g, h) = places, (points[place] for place in places)
    slope_u, slope_v = (g - f) / (u - x), (h - f) / (v - x)
    curvature = (slope_v - slope_u) / (v - u)
    if not curvature > 0:
        return None
    vertex = x - (slope_u - curvature * (u - x)) / (2 * curvature)
    low = line.low if left is None else left
    high = line.high if right is None else right
    return min(max(vertex, low), high)


def _section(low: float, best: float, high: float) -> float:
    if high - best > best - low:
        return best + GOLDEN * (high - best)
    return best - GOLDEN * (best - low)
