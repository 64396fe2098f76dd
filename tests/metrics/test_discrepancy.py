"""KID and CMMD with their standard errors."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deme.errors import DataError, ProtocolError
from deme.metrics import cmmd, cmmd_error, kernel_distance, kernel_distance_error
from deme.metrics.kernel import subset_discrepancies

Error = Callable[..., float]


def rows(count: int, seed: int, shift: float = 0.0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=draw, dtype=torch.float64) + shift


def brute_cmmd(real: Tensor, generated: Tensor, *, unbiased: bool) -> float:
    """The definition on unit vectors, pair by pair."""

    def unit(x: Tensor) -> list[list[float]]:
        return [[v / math.hypot(*row) for v in row] for row in x.tolist()]

    def kernel(x: list[float], y: list[float]) -> float:
        return math.exp(-(math.dist(x, y) ** 2) / (2 * 10**2))

    def within(x: list[list[float]]) -> float:
        kept = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j or not unbiased]
        return sum(kernel(x[i], x[j]) for i, j in kept) / len(kept)

    x, y = unit(real), unit(generated)
    across = sum(kernel(a, b) for a in x for b in y) / (len(x) * len(y))
    return 1000 * (within(x) + within(y) - 2 * across)


@pytest.mark.parametrize("unbiased", [True, False])
def test_cmmd_equals_the_double_loop(unbiased: bool) -> None:
    real, generated = rows(13, 1), rows(9, 2, 0.5)
    expected = brute_cmmd(real, generated, unbiased=unbiased)
    assert cmmd(real, generated, unbiased=unbiased) == pytest.approx(expected, rel=1e-9)
    assert cmmd(3 * real, generated / 7) == pytest.approx(cmmd(real, generated), rel=1e-9)


def test_unbiased_cmmd_of_one_distribution_is_zero_on_average() -> None:
    values = torch.tensor([cmmd(rows(6, 2 * seed), rows(6, 2 * seed + 1)) for seed in range(300)])
    assert abs(float(values.mean())) < 3 * float(values.std()) / len(values) ** 0.5
    biased = [cmmd(rows(6, 2 * s), rows(6, 2 * s + 1), unbiased=False) for s in range(20)]
    assert min(biased) > 0


def kid_error(real: Tensor, generated: Tensor, **options: object) -> float:
    values = subset_discrepancies(real, generated)
    return kernel_distance_error(real, generated, values, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(("value", "error"), [(kernel_distance, kid_error), (cmmd, cmmd_error)])
@pytest.mark.parametrize("shift", [0.0, 0.4])  # the first order vanishes at 0
@pytest.mark.parametrize("sampled", ["generated", "both"])
def test_the_error_is_the_spread_over_fresh_images(
    value: Error, error: Error, shift: float, sampled: str
) -> None:
    def real(seed: int) -> Tensor:
        return rows(70, 5000 + seed if sampled == "both" else 7)

    sets = [(real(seed), rows(50, seed, shift)) for seed in range(150)]
    spread = float(torch.tensor([value(*pair) for pair in sets]).std())
    errors = [error(*pair, sampled=sampled) for pair in sets[:40]]
    mean = math.sqrt(sum(one**2 for one in errors) / len(errors))
    assert 0.8 * spread < mean < 1.5 * spread


def test_subsets_estimate_the_error_of_all_images() -> None:
    real, generated = rows(900, 1), rows(700, 2, 0.3)
    options = {"subsets": 30, "subset_size": 100}
    values = subset_discrepancies(real, generated, **options)
    whole = kernel_distance_error(real, generated, values[:1])
    parts = kernel_distance_error(real, generated, values[:1], subset_size=100)
    assert parts == pytest.approx(whole, rel=0.25)
    drawn = kernel_distance_error(real, generated, values, subset_size=100)
    between = float(torch.tensor(values, dtype=torch.float64).var()) / len(values)
    assert drawn**2 == pytest.approx(parts**2 + between, rel=1e-9)


def test_too_few_images_have_no_error() -> None:
    assert math.isnan(cmmd_error(rows(3, 1), rows(10, 2)))
    with pytest.raises(DataError, match="at least 2"):
        cmmd(rows(1, 1), rows(10, 2))
    with pytest.raises(ProtocolError, match="dimensions"):
        cmmd(rows(4, 1), rows(4, 2)[:, :2])
