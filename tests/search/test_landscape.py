import json

import pytest

from deme.search import (
    Evaluation,
    FrechetObjective,
    MergeSpace,
    SurfaceStrategy,
    predicted_landscape,
    prediction_quality,
)
from search.gaussian_problem import TABLE, GaussianProblem, run

IMAGES = 400


def searched(problem: GaussianProblem) -> list[Evaluation]:
    objective = FrechetObjective(problem.reference, TABLE)
    return run(SurfaceStrategy(problem.box, objective, evaluations=8), problem, IMAGES)


def test_slices_go_through_the_best_candidate() -> None:
    problem = GaussianProblem(4, 3)
    found = searched(problem)
    best = min(found, key=lambda item: item.value)
    space = MergeSpace(("a", "b", "c"), (-1.0, 2.0))
    objective = FrechetObjective(problem.reference, TABLE)
    landscape = predicted_landscape(space, objective, found, best)
    assert landscape is not None
    assert [(s["x"], s["y"]) for s in landscape["slices"]] == [(0, 1), (0, 2), (1, 2)]
    checked = 0
    for part in landscape["slices"]:
        x, y = part["x"], part["y"]
        for i in range(25):
            at = list(best.candidate)
            at[x], at[y] = part["xs"][i], part["ys"][i]
            if max(abs(at[axis] - best.candidate[axis]) for axis in (x, y)) <= 0.6:
                checked += 1
                real = float(problem.sample_value(at, IMAGES))
                assert part["values"][i][i] == pytest.approx(real, rel=0.25, abs=0.01)
    assert checked > 3
    assert json.loads(json.dumps(landscape)) == landscape
    assert landscape["prediction"]["pairs"]


def test_too_few_evaluations_make_no_landscape() -> None:
    problem = GaussianProblem(4, 2)
    found = searched(problem)[:2]
    space = MergeSpace(("a", "b"), (-1.0, 2.0))
    objective = FrechetObjective(problem.reference, TABLE)
    assert predicted_landscape(space, objective, found, found[0]) is None


def test_of_many_axes_those_that_matter_most_are_shown() -> None:
    problem = GaussianProblem(3, 8)
    found = searched(problem)
    space = MergeSpace(tuple("abcdefgh"), (-1.0, 2.0))
    objective = FrechetObjective(problem.reference, TABLE)
    landscape = predicted_landscape(space, objective, found, found[0])
    assert landscape is not None and len(landscape["slices"]) == 15


def test_quality_is_rank_and_error() -> None:
    quality = prediction_quality([(1.0, 1.5), (2.0, 2.5), (3.0, 3.5)])
    assert quality == {"rank_correlation": pytest.approx(1.0), "rmse": pytest.approx(0.5)}
    assert prediction_quality([(1.0, 1.0), (1.0, 2.0)])["rank_correlation"] is None
