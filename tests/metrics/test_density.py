import math

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, DataError
from deme.metrics import density_coverage, expected_coverage, neighbour_radii


def rows(count: int, seed: int, shift: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, generator=draw, dtype=torch.float64) + shift


def brute_force(real: Tensor, generated: Tensor, k: int) -> tuple[float, float]:
    """The definitions, point by point."""
    x, y = real.tolist(), generated.tolist()
    radii = [sorted(math.dist(a, b) for b in x)[k] for a in x]  # the nearest of all is itself
    inside = [[math.dist(a, b) < radius for b in y] for a, radius in zip(x, radii, strict=True)]
    density = sum(map(sum, inside)) / (k * len(y))
    return density, sum(map(any, inside)) / len(x)


@pytest.mark.parametrize(("count", "other", "k"), [(30, 30, 5), (25, 40, 1), (40, 13, 3)])
def test_both_equal_the_double_loop(count: int, other: int, k: int) -> None:
    real, generated = rows(count, 1), rows(other, 2, 0.4)
    assert density_coverage(real, generated, k) == pytest.approx(
        brute_force(real, generated, k), rel=1e-12
    )
    radii = neighbour_radii(real, k)
    assert density_coverage(real, generated, k, real_radii=radii) == density_coverage(
        real, generated, k
    )


def test_equal_distributions_have_density_one_and_the_expected_coverage() -> None:
    found = [density_coverage(rows(300, seed), rows(200, 1000 + seed)) for seed in range(40)]
    for values, expected in (
        ([one.density for one in found], 1.0),
        ([one.coverage for one in found], expected_coverage(300, 200)),
    ):
        sample = torch.tensor(values)
        error = float(sample.std()) / len(found) ** 0.5
        assert float(sample.mean()) == pytest.approx(expected, abs=4 * error)
        assert error < 0.01


def test_a_model_of_one_mode_is_dense_and_covers_little() -> None:
    real = torch.cat([rows(100, 1), rows(100, 2, 50.0)])
    found = density_coverage(real, rows(200, 3))
    assert found.density > 0.8
    assert 0.4 < found.coverage <= 0.5
    assert density_coverage(real, rows(50, 4, -500.0)) == (0.0, 0.0)


def test_what_is_at_the_radius_is_outside() -> None:
    real = torch.tensor([[0.0], [1.0], [10.0]])  # their balls reach to 1, 1 and 9
    assert density_coverage(real, torch.tensor([[2.0]]), k=1) == (1.0, pytest.approx(1 / 3))
    assert density_coverage(real, torch.tensor([[19.0]]), k=1) == (0.0, 0.0)


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match="at least 6"):
        density_coverage(rows(5, 1), rows(5, 2))
    with pytest.raises(ConfigError, match="k is 0"):
        density_coverage(rows(5, 1), rows(5, 2), 0)
