from collections.abc import Callable

import pytest
import torch

from deme.generate import generate_images
from deme.metrics import FeatureStatistics, FrechetReference
from deme.search import FrechetObjective, MergeEvaluator

MakeEvaluator = Callable[..., MergeEvaluator]


def test_equal_weights_have_equal_features_whatever_came_between(
    make_evaluator: MakeEvaluator,
) -> None:
    evaluator = make_evaluator()
    first = evaluator.features((0.4, -0.6))
    assert first.shape == (10, 16) and float(first.std()) > 0.05
    evaluator.features((1.0, 2.0))
    torch.manual_seed(3)
    assert torch.equal(evaluator.features((0.4, -0.6)), first)


def test_candidates_differ_by_their_weights_alone(make_evaluator: MakeEvaluator) -> None:
    """From noise of its own, the nearest candidate would be as far as any other."""
    evaluator = make_evaluator()
    first = evaluator.features((0.4, -0.6))
    near = float((evaluator.features((0.4, -0.601)) - first).abs().mean())
    far = float((evaluator.features((-1.0, 1.0)) - first).abs().mean())
    assert 0 < near < 0.02 < far


def test_the_features_are_those_of_the_merged_models_images(
    make_evaluator: MakeEvaluator,
) -> None:
    evaluator = make_evaluator()
    features = evaluator.features((1.0, 0.5))
    images = generate_images(evaluator.merger((1.0, 0.5)), evaluator.request)
    assert torch.equal(features, images.flatten(1).float() / 255)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_does_not_matter(make_evaluator: MakeEvaluator, batch_size: int) -> None:
    expected = make_evaluator().features((0.3, 0.3))
    found = make_evaluator(batch_size=batch_size).features((0.3, 0.3))
    torch.testing.assert_close(found, expected, rtol=0, atol=1 / 255 + 1e-6)


def test_the_objective_is_the_frechet_distance_to_the_reference(
    make_evaluator: MakeEvaluator,
) -> None:
    evaluator = make_evaluator(images=60, batch_size=60)
    protocol = evaluator.detector.protocol()
    real = evaluator.features((0.5, -0.5))
    objective = FrechetObjective(FrechetReference(FeatureStatistics.from_features(real, protocol)))
    assert objective.name == "frechet"
    assert objective(real) == pytest.approx(0.0, abs=1e-6)
    distances = [objective(evaluator.features((0.5, w))) for w in (-0.4, 0.0, 1.0)]
    assert 0 < distances[0] < distances[1] < distances[2]
    moved = real + 1.0
    assert objective(moved) == pytest.approx(16.0, rel=1e-4)
