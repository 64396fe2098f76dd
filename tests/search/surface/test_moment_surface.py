"""The surface on a problem whose distances are known in closed form."""

import pytest
import torch

from deme.search import Evaluation, FrechetObjective, MomentSurface, prediction_quality
from deme.search.surface.sketch import MomentSketch
from search.gaussian_problem import TABLE, GaussianProblem

IMAGES = 1000


def surface_at(problem: GaussianProblem, points: torch.Tensor) -> MomentSurface:
    objective = FrechetObjective(problem.reference, TABLE)
    surface = MomentSurface(objective, (1.0,) * problem.experts)
    for point in points.tolist():
        tables = problem.tables(point, IMAGES)
        value = float(objective.value(tables))
        surface.add(Evaluation(tuple(point), IMAGES, (value,), tables))
    return surface


def spread(count: int, axes: int, seed: int) -> torch.Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.rand(count, axes, generator=draws, dtype=torch.float64)


def test_predictions_at_sampled_points_are_their_values() -> None:
    problem = GaussianProblem(4, 3)
    surface = surface_at(problem, spread(8, 3, 1))
    points = torch.tensor([item.candidate for item in surface.evaluations], dtype=torch.float64)
    real = torch.tensor([item.value for item in surface.evaluations], dtype=torch.float64)
    torch.testing.assert_close(surface.predict(points), real, rtol=0.02, atol=2e-4)


def test_a_quadratic_number_of_points_predicts_unseen_ones() -> None:
    problem = GaussianProblem(4, 3)
    surface = surface_at(problem, torch.cat([torch.tensor(problem.anchors), spread(4, 3, 2)]))
    unseen = spread(40, 3, 3)
    predicted = surface.predict(unseen).tolist()
    real = problem.sample_value(unseen, IMAGES).tolist()
    quality = prediction_quality(list(zip(predicted, real, strict=True)))
    assert quality["rank_correlation"] is not None and quality["rank_correlation"] > 0.99


def test_moments_predict_better_than_the_score() -> None:
    """The same fit to the values themselves, from the same points."""
    problem = GaussianProblem(4, 4)
    surface = surface_at(problem, torch.cat([torch.tensor(problem.anchors), spread(4, 4, 2)]))
    unseen = spread(40, 4, 3)
    real = problem.sample_value(unseen, IMAGES)
    values = torch.tensor([item.value for item in surface.evaluations], dtype=torch.float64)
    by_score = surface.smoother.coefficients(unseen) @ values
    by_moments = surface.predict(unseen)
    assert (by_moments - real).square().mean() < 0.5 * (by_score - real).square().mean()


def test_doubt_is_small_at_samples_and_vanishes_where_one_is_being_made() -> None:
    problem = GaussianProblem(4, 2)
    surface = surface_at(problem, spread(6, 2, 1))
    points = torch.tensor([item.candidate for item in surface.evaluations], dtype=torch.float64)
    far = torch.tensor([[-1.0, 2.0]], dtype=torch.float64)
    doubt = surface.doubt()
    assert float(doubt(points).max()) < 0.2 * float(doubt(far))
    assert float(surface.doubt([(-1.0, 2.0)])(far)) < 0.2 * float(doubt(far))


def test_what_is_left_out_is_predicted_from_the_others() -> None:
    problem = GaussianProblem(4, 2)
    surface = surface_at(problem, spread(12, 2, 1))
    predicted, real = surface.left_out()
    rank = prediction_quality(list(zip(predicted.tolist(), real.tolist(), strict=True)))
    assert rank["rank_correlation"] is not None and rank["rank_correlation"] > 0.9
    assert bool((predicted != real).all())


def test_an_evaluation_that_was_not_finite_teaches_nothing() -> None:
    problem = GaussianProblem(4, 2)
    surface = surface_at(problem, spread(4, 2, 1))
    surface.add(Evaluation((9.0, 9.0), IMAGES, (float("inf"),), {}))
    assert len(surface.evaluations) == 4


@pytest.mark.parametrize("columns", [5, 200])
def test_a_sketch_tells_sets_apart_by_mean_and_spread(columns: int) -> None:
    draws = torch.Generator().manual_seed(0)
    table = torch.randn(300, columns, generator=draws)
    sketch = MomentSketch({"a": table})
    width = min(columns, 64)
    assert sketch({"a": table}).shape == (width + width * (width + 1) // 2,)
    same = sketch({"a": table.clone()})
    torch.testing.assert_close(sketch({"a": table}), same)
    moved = (sketch({"a": table + 0.1}) - same).norm()
    wider = (sketch({"a": table * 1.1}) - same).norm()
    assert float(moved) > 0.1 and float(wider) > 0.1


def test_a_constant_column_does_no_harm() -> None:
    table = torch.cat([torch.randn(50, 2), torch.ones(50, 1)], dim=1)
    assert bool(MomentSketch({"a": table})({"a": table}).isfinite().all())


def test_a_column_that_was_silent_in_the_first_set_does_not_decide_everything() -> None:
    draws = torch.Generator().manual_seed(0)
    first = torch.randn(300, 3, generator=draws)
    first[:, 2] *= 1e-6
    second = first.clone()
    second[:30, 2] = 1.0
    sketch = MomentSketch({"a": first})
    alone = MomentSketch({"a": first[:, :2]})
    moved = (sketch({"a": second}) - sketch({"a": first})).norm()
    assert 0 < float(moved) < 1e6
    same = alone({"a": second[:, :2]}) - alone({"a": first[:, :2]})
    assert float(same.norm()) == 0
