import math

import pytest
import torch
from torch import Tensor

from deme.errors import DataError
from deme.metrics import precision_recall


def random_features(count: int, seed: int, shift: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=draw) + shift


def brute_force(real: Tensor, generated: Tensor, k: int) -> tuple[float, float]:
    """The definition, point by point."""

    def inside(queries: list[list[float]], points: list[list[float]]) -> float:
        radii = []
        for i, point in enumerate(points):
            others = [math.dist(point, other) for j, other in enumerate(points) if j != i]
            radii.append(sorted(others)[k - 1])
        hits = [
            any(math.dist(query, p) <= r for p, r in zip(points, radii, strict=True))
            for query in queries
        ]
        return sum(hits) / len(hits)

    one, two = real.double().tolist(), generated.double().tolist()
    return inside(two, one), inside(one, two)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("shift", [0.0, 1.5, 4.0])
def test_it_equals_the_loops(k: int, shift: float) -> None:
    real, generated = random_features(41, 1), random_features(29, 2, shift)
    assert precision_recall(real, generated, k) == pytest.approx(brute_force(real, generated, k))


def test_a_set_covers_itself() -> None:
    features = random_features(50, 1, shift=1e4)
    assert precision_recall(features, features.clone()) == (1.0, 1.0)


def test_far_apart_sets_share_nothing() -> None:
    assert precision_recall(random_features(20, 1), random_features(20, 2, 100.0)) == (0.0, 0.0)


def test_one_mode_of_two_is_precise_and_misses_half() -> None:
    left, right = random_features(40, 1), random_features(40, 2, shift=50.0)
    found = precision_recall(torch.cat([left, right]), left.clone())
    assert found.precision == 1.0
    assert found.recall == 0.5


def test_a_model_that_adds_noise_of_its_own_loses_precision_alone() -> None:
    real, rubbish = random_features(40, 1), random_features(10, 2, shift=50.0)
    found = precision_recall(real, torch.cat([real, rubbish]))
    assert found == (0.8, 1.0)


def test_it_swaps_when_the_sets_do() -> None:
    real, generated = random_features(30, 1), random_features(40, 2, 0.8)
    there, back = precision_recall(real, generated), precision_recall(generated, real)
    assert (there.precision, there.recall) == (back.recall, back.precision)


def test_too_few_images_for_k() -> None:
    with pytest.raises(DataError, match="at least 4"):
        precision_recall(random_features(3, 1), random_features(9, 2))
