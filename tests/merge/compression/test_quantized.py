import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deme.merge.compression.quantized import (
    dequantize,
    largest_step,
    quantize,
    squared_error,
    sum_of_squares,
)
from merge.compression.memory_model import PROPERTY


def values_of(kind: str, count: int, seed: int) -> np.ndarray:
    draws = np.random.default_rng(seed)
    made = {
        "normal": draws.standard_normal(count),
        "heavy": draws.standard_t(2, count),
        "sparse": draws.standard_normal(count) * (draws.random(count) < 0.05),
        "equal": np.where(draws.random(count) < 0.5, 1.0, -1.0),
    }[kind]
    made[0] = 1.0
    return (1e-4 * made).astype(np.float32)


@PROPERTY
@given(
    st.sampled_from(["normal", "heavy", "sparse", "equal"]),
    st.integers(1, 3000),
    st.floats(1e-4, 0.9),
    st.integers(0, 100),
)
def test_the_step_keeps_the_error(kind: str, count: int, error: float, seed: int) -> None:
    values = values_of(kind, count, seed)
    allowed = error**2 * sum_of_squares(values)
    step = largest_step(values, allowed)
    assert step is not None
    found = dequantize(quantize(values, step), step)
    exact = float(np.sum((found.astype(np.float64) - values) ** 2))
    assert exact <= allowed * (1 + 1e-6)
    assert exact == pytest.approx(squared_error(values, step), rel=1e-6, abs=1e-30)
    assert np.abs(found - values).max() <= 0.5001 * step


@pytest.mark.parametrize("error", [0.01, 0.05, 0.3, 0.7])
def test_the_step_is_nearly_as_large_as_it_may_be(error: float) -> None:
    values = values_of("normal", 100_000, 0)
    allowed = error**2 * sum_of_squares(values)
    step = largest_step(values, allowed)
    assert step is not None
    assert squared_error(values, step) > 0.98 * allowed
    assert squared_error(values, 1.02 * step) > allowed


@pytest.mark.parametrize("values", [[1e-44, 3e-45], [1e30, *[1e-30] * 50]])
def test_what_float32_cannot_do_is_left(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert largest_step(array, 1e-40 * sum_of_squares(array)) is None


def test_sums_are_in_float64() -> None:
    values = np.full(2**20, 1 + 2**-12, np.float32)
    assert sum_of_squares(values) == pytest.approx(2**20 * (1 + 2**-12) ** 2, rel=1e-12)
    assert math.isfinite(sum_of_squares(np.full(10, 1e30, np.float32)))
