"""The loss's minimiser in a box, and the scales of it that are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError
from deme.search.quadratic_loss import QuadraticLoss
from deme.search.space import Box, Candidate
from deme.search.strategies.gradient import GradientStrategy, minimise_in_box
from search.strategies.quadratics import anchors_of, search, separable

WIDE = Box.cube((-4.0, 4.0), 2)
DIRECTION = (0.5, -0.25)


class CurvedLoss:
    """``Σ r_k(w)²`` with bent residuals, and its exact Gauss–Newton model.

    ``edge``: beyond this distance from zero the loss is not a number.
    """

    def __init__(self, bend: float = 0.0, edge: float = math.inf) -> None:
        draws = torch.Generator().manual_seed(0)
        self.rows = torch.randn(6, 2, generator=draws, dtype=torch.float64)
        self.aim = torch.randn(6, generator=draws, dtype=torch.float64)
        self.bend, self.edge = bend, edge
        self.asked: list[str] = []

    def residuals(self, w: Tensor) -> Tensor:
        straight = self.rows @ w
        return straight + self.bend * straight.sin() - self.aim

    def value(self, weights: Sequence[float]) -> float:
        self.asked.append("value")
        if math.hypot(*weights) > self.edge:
            return math.nan
        return float(self.residuals(torch.tensor(weights, dtype=torch.float64)).square().sum())

    def quadratic(self, weights: Sequence[float]) -> QuadraticLoss:
        self.asked.append("quadratic")
        w = torch.tensor(weights, dtype=torch.float64)
        residuals = self.residuals(w)
        jacobian = self.rows * (1 + self.bend * (self.rows @ w).cos())[:, None]
        gradient, hessian = 2 * jacobian.T @ residuals, 2 * jacobian.T @ jacobian
        return QuadraticLoss(tuple(weights), float(residuals.square().sum()), gradient, hessian)

    def best(self, box: Box) -> float:
        """By a fine grid over a box of two weights."""
        axes = [
            torch.linspace(low, high, 161, dtype=torch.float64)
            for low, high in zip(box.low, box.high, strict=True)
        ]
        points = torch.cartesian_prod(*axes)
        return float(torch.vmap(self.residuals)(points).square().sum(1).min())


def test_a_quadratic_is_minimised_in_one_step() -> None:
    loss = CurvedLoss()
    found = minimise_in_box(loss, WIDE)
    exact = torch.linalg.lstsq(loss.rows, loss.aim).solution
    torch.testing.assert_close(torch.tensor(found, dtype=torch.float64), exact, rtol=0, atol=1e-9)
    assert loss.asked == ["quadratic", "value", "quadratic"]


@pytest.mark.parametrize("bend", [0.5, 0.9])
@pytest.mark.parametrize(
    "box", [Box.cube((-1.0, 1.0), 2), Box((0.2, -0.1), (0.9, 0.3)), Box.cube((-2.0, -0.5), 2)]
)
def test_a_bent_loss_is_minimised_in_any_box(bend: float, box: Box) -> None:
    loss = CurvedLoss(bend)
    found = minimise_in_box(loss, box, steps=40)
    assert box.clip(found) == found
    assert loss.value(found) <= loss.best(box) + 1e-4


def test_steps_into_nowhere_are_taken_back() -> None:
    loss = CurvedLoss()
    whole = math.hypot(*minimise_in_box(loss, WIDE))
    loss.edge = 0.6 * whole
    found = minimise_in_box(loss, WIDE)
    assert loss.value(found) < loss.value((0.0, 0.0))


def test_the_minimiser_and_its_scales_are_drawn_and_then_the_best_scale() -> None:
    """Along the line the value is quadratic with its minimum at 1.3."""
    aim = [1.3 * weight for weight in DIRECTION]

    def value(candidate: Candidate) -> float:
        return sum((w - a) ** 2 for w, a in zip(candidate, aim, strict=True))

    strategy = GradientStrategy(WIDE, lambda: DIRECTION, 8)
    found = search(strategy, value, WIDE, anchors_of(2))
    first = [tuple(scale * w for w in DIRECTION) for scale in (1, 0.5, 1.5, 0.75, 2)]
    assert [each.candidate for each in found.rounds[0]] == first
    assert all(w[0] == pytest.approx(-2 * w[1], abs=1e-9) for w in found.asked)
    assert found.best[0] / DIRECTION[0] == pytest.approx(1.3, abs=0.02)
    assert len(found.asked) <= 8


def test_the_line_goes_on_through_zero_where_that_is_better() -> None:
    aim = [-1.2 * weight for weight in DIRECTION]

    def value(candidate: Candidate) -> float:
        return sum((w - a) ** 2 for w, a in zip(candidate, aim, strict=True))

    found = search(GradientStrategy(WIDE, lambda: DIRECTION, 12), value, WIDE, anchors_of(2))
    assert found.best[0] / DIRECTION[0] == pytest.approx(-1.2, abs=0.02)


def test_scales_that_leave_the_box_are_left_out() -> None:
    box = Box((0.1, -0.3), (0.6, 0.3))
    found = search(GradientStrategy(box, lambda: DIRECTION, 8), separable(2), box, anchors_of(2))
    scales = [candidate[0] / DIRECTION[0] for candidate in found.asked]
    assert scales[:3] == pytest.approx([1, 0.5, 0.75])
    assert all(0.2 - 1e-9 <= scale <= 1.2 + 1e-9 for scale in scales)
    corner = Box.cube((0.0, 1 / 3), 2)
    found = search(GradientStrategy(corner, lambda: (1.0, 1.0), 8), separable(2), corner)
    assert found.asked[0] == corner.clip((1.0, 1.0))


def test_nothing_is_minimised_before_the_first_ask_and_only_once() -> None:
    calls: list[int] = []

    def minimise() -> Candidate:
        calls.append(1)
        return DIRECTION

    strategy = GradientStrategy(WIDE, minimise, 8)
    strategy.begin([])
    assert strategy.expected_evaluations() == 8
    assert not calls
    search(strategy, separable(2), WIDE)
    assert len(calls) == 1


def test_a_minimiser_at_zero_ends_the_search_with_zero() -> None:
    def make() -> GradientStrategy:
        return GradientStrategy(WIDE, lambda: (0.0, 0.0), 8)

    assert search(make(), separable(2), WIDE).asked == [(0.0, 0.0)]
    assert search(make(), separable(2), WIDE, anchors_of(2)).asked == []


@pytest.mark.parametrize("found", [(1.0,), (math.nan, 0.0)])
def test_a_minimiser_that_is_no_point_is_refused(found: Candidate) -> None:
    with pytest.raises(ConfigError, match="is not a point of 2 weights"):
        GradientStrategy(WIDE, lambda: found, 8).ask()
