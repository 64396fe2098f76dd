import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, DataError, ProtocolError
from deme.metrics import kernel_distance, squared_discrepancy


def random_features(count: int, seed: int, shift: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 6, generator=draw, dtype=torch.float64) + shift


def brute_force(first: Tensor, second: Tensor) -> float:
    """The definition, pair by pair."""

    def kernel(x: list[float], y: list[float]) -> float:
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(rows: list[list[float]]) -> float:
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        return sum(kernel(rows[i], rows[j]) for i, j in pairs) / len(pairs)

    one, two = first.tolist(), second.tolist()
    across = sum(kernel(x, y) for x in one for y in two) / (len(one) * len(two))
    return within(one) + within(two) - 2 * across


@pytest.mark.parametrize(("first", "second"), [(2, 2), (13, 13), (20, 7)])
def test_it_equals_the_double_loop(first: int, second: int) -> None:
    one, two = random_features(first, 1), random_features(second, 2, shift=0.5)
    assert squared_discrepancy(one, two) == pytest.approx(brute_force(one, two), rel=1e-10)
    assert kernel_distance(one, two) == squared_discrepancy(one, two)


def test_subsets_average_the_definition_over_their_pairs() -> None:
    one, two = random_features(30, 1), random_features(8, 2, shift=0.5)
    single = [
        kernel_distance(one, two, subsets=count, subset_size=10, seed=4) * count
        for count in (1, 2, 3)
    ]
    assert single[0] != single[1] - single[0]  # each subset is another one
    repeated = kernel_distance(one, two, subsets=3, subset_size=10, seed=4) * 3
    assert repeated == single[2]
    assert kernel_distance(one, two, subsets=3, subset_size=10, seed=5) * 3 != single[2]


def test_subsets_agree_with_the_whole_within_their_noise() -> None:
    one, two = random_features(400, 1), random_features(400, 2, shift=1.0)
    whole = squared_discrepancy(one, two)
    subset = kernel_distance(one, two, subsets=200, subset_size=100)
    assert subset == pytest.approx(whole, rel=0.05)


def test_it_is_unbiased_at_small_counts() -> None:
    values = [
        squared_discrepancy(random_features(5, 2 * seed), random_features(5, 2 * seed + 1))
        for seed in range(400)
    ]
    mean = sum(values) / len(values)
    error = float(torch.tensor(values).std()) / len(values) ** 0.5
    assert abs(mean) < 3 * error


def test_float32_features_are_summed_in_float64() -> None:
    one, two = random_features(50, 1, 30.0).float(), random_features(50, 2, 30.0).float()
    assert squared_discrepancy(one, two) == squared_discrepancy(one.double(), two.double())


def test_what_cannot_be_compared_is_refused() -> None:
    features = random_features(5, 1)
    with pytest.raises(DataError, match="at least 2"):
        squared_discrepancy(features[:1], features)
    with pytest.raises(ProtocolError, match="dimensions"):
        squared_discrepancy(features, features[:, :3])
    with pytest.raises(ConfigError, match="0 subsets of 1000"):
        kernel_distance(features, features, subsets=0)
