"""Strategies around strategies: scaled anchors, and from experts outwards to blocks."""

import pytest

from deme.search import (
    Box,
    Candidate,
    Evaluation,
    FrechetObjective,
    OutwardStrategy,
    Proposal,
    ScaledAnchors,
    Strategy,
    SurfaceStrategy,
)
from deme.search.strategies import HalvingStrategy
from search.gaussian_problem import TABLE, GaussianProblem, run

IMAGES = 400


class Listed(Strategy):
    """Asks for what it was given, one at a time."""

    def __init__(self, *candidates: Candidate) -> None:
        self.left = list(candidates)
        self.begun: list[Candidate] = []
        self.told: list[Candidate] = []

    def begin(self, anchors: list[Evaluation]) -> None:  # type: ignore[override]
        self.begun = [anchor.candidate for anchor in anchors]

    def ask(self) -> list[Proposal]:
        return [Proposal(self.left.pop(0))] if self.left else []

    def tell(self, evaluations: list[Evaluation]) -> None:  # type: ignore[override]
        self.told += [item.candidate for item in evaluations]

    def expected_evaluations(self) -> int:
        return len(self.left)


def test_anchors_are_evaluated_at_the_scale_that_is_best() -> None:
    problem = GaussianProblem(4, 2)
    inner = Listed((0.5, 0.25))
    strategy = ScaledAnchors(
        inner, FrechetObjective(problem.reference, TABLE), problem.box, (0.0, 0.0), (1.0, 1.0)
    )
    found = run(strategy, problem, IMAGES)
    scaled = [item for item in found if "best scale" in str(item.notes.get("reason", ""))]
    assert 1 <= len(scaled) <= 2
    for item in scaled:
        lengths = [abs(w) for w in item.candidate]
        assert min(lengths) == 0 or lengths[0] == pytest.approx(lengths[1])
        direction = [w / max(lengths) for w in item.candidate]
        ends = [problem.sample_value([s * w for w in direction], IMAGES) for s in (0, 1)]
        assert item.value < min(map(float, ends))
    assert inner.begun == [item.candidate for item in found[:-1]]
    assert inner.told == [(0.5, 0.25)]


def test_scaled_anchors_stay_in_the_box() -> None:
    problem = GaussianProblem(4, 2, box=Box.cube((0.0, 0.3), 2))
    strategy = ScaledAnchors(
        Listed(), FrechetObjective(problem.reference, TABLE), problem.box, (0.0, 0.0), (1.0, 1.0)
    )
    for item in run(strategy, problem, IMAGES)[len(problem.anchors) :]:
        assert problem.box.clip(item.candidate) == item.candidate


def test_what_was_found_with_few_weights_begins_the_search_with_many() -> None:
    coarse, fine = Listed((1.0,), (2.0,)), Listed((1.0, 3.0))
    strategy = OutwardStrategy(coarse, lambda c: c * 2, lambda c: c[:1], fine)
    strategy.begin([Evaluation((0.0, 0.0), 1, (5.0,))])
    assert coarse.begun == [(0.0,)]
    asked = []
    while proposals := strategy.ask():
        asked += [item.candidate for item in proposals]
        strategy.tell([Evaluation(item.candidate, 1, (1.0,)) for item in proposals])
    assert asked == [(1.0, 1.0), (2.0, 2.0), (1.0, 3.0)]
    assert coarse.told == [(1.0,), (2.0,)]
    assert fine.begun == [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]
    assert fine.told == [(1.0, 3.0)]


def test_blocks_begin_with_the_sets_of_the_most_images_alone() -> None:
    """Moments of different counts cannot be mixed."""
    problem = GaussianProblem(4, 2)
    objective = FrechetObjective(problem.reference, TABLE)
    coarse = HalvingStrategy(SurfaceStrategy(problem.box, objective, evaluations=4), (100,), IMAGES)
    fine = SurfaceStrategy(problem.box, objective, evaluations=3)
    strategy = OutwardStrategy(coarse, lambda c: c, lambda c: c, fine)
    found = run(strategy, problem, IMAGES)
    assert {item.images for item in found} == {100, IMAGES}
    assert [item.images for item in fine.surface.evaluations[-3:]] == [IMAGES] * 3
    assert len({item.candidate for item in fine.surface.evaluations[:-3]}) > len(problem.anchors)
