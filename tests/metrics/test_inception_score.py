import math

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, DataError
from deme.metrics import inception_score


def probabilities(count: int, classes: int, seed: int, sharpness: float = 2.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return (sharpness * torch.randn(count, classes, generator=draw)).softmax(1)


def brute_force(rows: list[list[float]]) -> float:
    """``exp`` of the mean divergence, sum by sum."""
    mean = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    divergence = sum(p * math.log(p / q) for row in rows for p, q in zip(row, mean, strict=True))
    return math.exp(divergence / len(rows))


def test_it_is_the_mean_over_consecutive_splits() -> None:
    rows = probabilities(47, 5, 1)
    found = inception_score(rows, splits=3)
    parts = [rows.double().tolist()[a:b] for a, b in ((0, 15), (15, 31), (31, 47))]
    scores = [brute_force(part) for part in parts]
    mean = sum(scores) / 3
    assert found.mean == pytest.approx(mean, rel=1e-9)
    assert found.deviation == pytest.approx(
        math.sqrt(sum((score - mean) ** 2 for score in scores) / 3), rel=1e-6
    )
    assert found.unsplit == pytest.approx(brute_force(rows.double().tolist()), rel=1e-9)


def test_known_answers_at_both_ends() -> None:
    certain = torch.eye(7).repeat(20, 1)  # sure of each image, all classes equally often
    assert inception_score(certain, splits=4) == pytest.approx((7, 0, 7, 0, 0), abs=1e-9)
    unsure = torch.full((40, 7), 1 / 7)
    assert inception_score(unsure, splits=4)[:3] == pytest.approx((1, 0, 1), abs=1e-6)


def test_splits_bias_it_downwards() -> None:
    rows = probabilities(300, 10, 2)
    assert inception_score(rows, 1).mean == inception_score(rows).unsplit
    assert inception_score(rows, 10).mean < inception_score(rows, 1).mean


@pytest.mark.parametrize("splits", [1, 5])
def test_its_error_is_the_spread_over_fresh_images(splits: int) -> None:
    found = [inception_score(probabilities(400, 6, seed), splits) for seed in range(150)]
    spread = torch.tensor([score.mean for score in found]).std()
    errors = torch.tensor([score.standard_error for score in found])
    assert float(errors.mean()) == pytest.approx(float(spread), rel=0.2)


def test_what_are_no_probabilities_is_refused() -> None:
    with pytest.raises(DataError, match="class probabilities"):
        inception_score(torch.randn(20, 5))
    with pytest.raises(DataError, match="at least 10"):
        inception_score(probabilities(9, 5, 1))
    with pytest.raises(ConfigError, match="0 splits"):
        inception_score(probabilities(9, 5, 1), 0)
