from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deme.denoisers import Denoiser
from deme.generate import generate_images
from deme.metrics import FeatureStatistics, FrechetReference
from deme.search import Candidate, FrechetObjective, MergeEvaluator

MakeEvaluator = Callable[..., MergeEvaluator]
EVERY = range(10)


def pixels(evaluator: MergeEvaluator, candidate: Candidate, rows: range = EVERY) -> Tensor:
    return evaluator.tables(candidate, rows)["pixels"]


def test_equal_weights_have_equal_features_whatever_came_between(
    make_evaluator: MakeEvaluator,
) -> None:
    evaluator = make_evaluator()
    first = pixels(evaluator, (0.4, -0.6))
    assert first.shape == (10, 16) and float(first.std()) > 0.05
    pixels(evaluator, (1.0, 2.0))
    torch.manual_seed(3)
    assert torch.equal(pixels(evaluator, (0.4, -0.6)), first)


def test_candidates_differ_by_their_weights_alone(make_evaluator: MakeEvaluator) -> None:
    """From noise of its own, the nearest candidate would be as far as any other."""
    evaluator = make_evaluator()
    first = pixels(evaluator, (0.4, -0.6))
    near = float((pixels(evaluator, (0.4, -0.601)) - first).abs().mean())
    far = float((pixels(evaluator, (-1.0, 1.0)) - first).abs().mean())
    assert 0 < near < 0.02 < far


def test_the_features_are_those_of_the_merged_models_images(
    make_evaluator: MakeEvaluator,
) -> None:
    evaluator = make_evaluator()
    features = pixels(evaluator, (1.0, 0.5))
    images = generate_images(evaluator.merger((1.0, 0.5)), evaluator.request)
    assert torch.equal(features, images.flatten(1).float() / 255)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_does_not_matter(make_evaluator: MakeEvaluator, batch_size: int) -> None:
    expected = pixels(make_evaluator(), (0.3, 0.3))
    found = pixels(make_evaluator(batch_size=batch_size), (0.3, 0.3))
    torch.testing.assert_close(found, expected, rtol=0, atol=1 / 255 + 1e-6)


def test_a_set_drawn_in_parts_is_the_set(make_evaluator: MakeEvaluator) -> None:
    """What successive halving needs: the first images are the same however many follow."""
    evaluator = make_evaluator()
    parts = [pixels(evaluator, (0.4, 0.1), rows) for rows in (range(4), range(4, 10))]
    torch.testing.assert_close(torch.cat(parts), pixels(evaluator, (0.4, 0.1)))


def test_losses_come_with_the_first_image_and_once(make_evaluator: MakeEvaluator) -> None:
    def losses(denoiser: Denoiser) -> Tensor:
        return next(iter(denoiser.weights().values())).reshape(1, -1)[:, :3].clone()

    evaluator = make_evaluator(losses=losses)
    first = evaluator.tables((1.0, 0.0), range(4))
    assert first["loss"].shape == (1, 3)
    assert "loss" not in evaluator.tables((1.0, 0.0), range(4, 8))
    other = evaluator.tables((0.0, 1.0), range(4))
    assert not torch.equal(first["loss"], other["loss"])


def test_where_only_losses_are_wanted_no_image_is_drawn(make_evaluator: MakeEvaluator) -> None:
    evaluator = make_evaluator(losses=lambda _: torch.zeros(2, 2))
    evaluator.features.clear()
    drawn = []
    evaluator.merger.denoiser.predict_with = lambda *a: drawn.append(a)  # type: ignore
    assert evaluator.tables((0.0, 0.0), range(2)).keys() == {"loss"}
    assert not drawn


def test_the_objective_is_the_frechet_distance_to_the_reference(
    make_evaluator: MakeEvaluator,
) -> None:
    evaluator = make_evaluator(images=60, batch_size=60)
    real = pixels(evaluator, (0.5, -0.5), range(60))
    objective = FrechetObjective(FrechetReference(FeatureStatistics.from_features(real)), "pixels")
    assert objective.name == "frechet"
    assert float(objective.value({"pixels": real})) == pytest.approx(0.0, abs=1e-6)
    distances = [
        float(objective.value(evaluator.tables((0.5, w), range(60)))) for w in (-0.4, 0.0, 1.0)
    ]
    assert 0 < distances[0] < distances[1] < distances[2]
    assert float(objective.value({"pixels": real + 1.0})) == pytest.approx(16.0, rel=1e-4)
