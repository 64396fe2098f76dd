"""Taking an expert out of a linear merge again."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from deme.errors import ConfigError, MismatchError
from deme.merge import MERGE_METHODS, get_merge_method
from deme.merge.unmerging import coefficients, require_linear, unmerge_tensor

PROPERTY = settings(max_examples=40, deadline=None, derandomize=True, database=None)
LINEAR = sorted(name for name, method in MERGE_METHODS.items() if method.linear)
OTHERS = sorted(name for name, method in MERGE_METHODS.items() if not method.linear)
HALF_SPACING = 2.0**-24


def experts(count: int, shape: tuple[int, ...], seed: int) -> tuple[Tensor, list[Tensor]]:
    """Weights as large as a network's, and differences a hundredth of that."""
    draws = torch.Generator().manual_seed(seed)
    base = 0.05 * torch.randn(shape, generator=draws)
    return base, [5e-4 * torch.randn(shape, generator=draws) for _ in range(count)]


@PROPERTY
@given(
    st.sampled_from([(), (7,), (4, 6), (3, 2, 3, 3)]),
    st.lists(st.floats(0.1, 2).flatmap(lambda w: st.sampled_from([w, -w])), min_size=1, max_size=5),
    st.integers(0, 1000),
)
def test_what_was_merged_comes_back(
    shape: tuple[int, ...], weights: list[float], seed: int
) -> None:
    base, deltas = experts(len(weights), shape, seed)
    method = get_merge_method("task_arithmetic")
    merged = method.function(base, deltas, weights)
    numbers = coefficients(method, weights)
    for k, number in enumerate(numbers):
        others = [delta for i, delta in enumerate(deltas) if i != k]
        rest = [c for i, c in enumerate(numbers) if i != k]
        found = unmerge_tensor(base, merged, others, rest, number)
        assert found.dtype == torch.float32 and found.shape == base.shape
        assert torch.allclose(found, deltas[k], rtol=0, atol=1e-6)
        largest = float(base.abs().max()) + 2 * float(sum(d.abs().max() for d in deltas))
        bound = 2 * len(weights) * HALF_SPACING * largest / abs(number)
        assert float((found - deltas[k]).abs().max()) <= bound


@PROPERTY
@given(st.lists(st.floats(0.1, 2), min_size=1, max_size=5), st.integers(0, 1000))
def test_a_mean_comes_back(weights: list[float], seed: int) -> None:
    base, deltas = experts(len(weights), (5, 4), seed)
    method = get_merge_method("linear")
    merged = method.function(base, deltas, weights)
    numbers = coefficients(method, weights)
    assert sum(numbers) == pytest.approx(1, rel=1e-12)
    found = unmerge_tensor(base, merged, deltas[1:], numbers[1:], numbers[0])
    assert torch.allclose(found, deltas[0], rtol=0, atol=1e-6 / numbers[0])


def test_coefficients_are_those_of_the_method_with_its_parameters() -> None:
    weights = [0.5, -0.25, 1.0]
    assert coefficients(get_merge_method("task_arithmetic"), weights) == tuple(weights)
    mean = get_merge_method("linear")
    assert coefficients(mean, weights) == pytest.approx((0.4, -0.2, 0.8), rel=1e-12)
    assert coefficients(mean, weights, {"normalize": False}) == tuple(weights)


@pytest.mark.parametrize("name", LINEAR)
def test_every_method_that_says_so_is_linear(name: str) -> None:
    base, deltas = experts(3, (6, 5), 0)
    method, weights = get_merge_method(name), [0.3, 0.5, -0.4]
    numbers = coefficients(method, weights)
    expected = base.double() + sum(c * d.double() for c, d in zip(numbers, deltas, strict=True))
    assert torch.allclose(method.function(base, deltas, weights).double(), expected, atol=1e-7)


@pytest.mark.parametrize("name", OTHERS)
def test_other_methods_are_refused_with_the_choices(name: str) -> None:
    with pytest.raises(ConfigError, match=r"cannot be undone.*Choices: linear, task_arithmetic"):
        require_linear(get_merge_method(name))
    with pytest.raises(ConfigError, match="cannot be undone"):
        coefficients(get_merge_method(name), [1.0])


def test_the_arithmetic_adds_no_error_of_its_own() -> None:
    base, deltas = experts(3, (200,), 0)
    numbers = (1e-3, 0.7, -1.3)
    merged = base.double() + sum(c * d.double() for c, d in zip(numbers, deltas, strict=True))
    found = unmerge_tensor(base, merged, deltas[1:], numbers[1:], numbers[0])
    assert torch.allclose(found, deltas[0], rtol=1e-6, atol=0)


def test_what_is_given_stays_as_it_is_and_takes_no_part_at_a_coefficient_of_0() -> None:
    base, deltas = experts(2, (10,), 0)
    merged, broken = base + deltas[0], torch.full((10,), torch.nan)
    before = [tensor.clone() for tensor in (base, merged)]
    assert torch.equal(unmerge_tensor(base, merged, [broken], [0.0], 1.0), merged - base)
    assert torch.equal(base, before[0]) and torch.equal(merged, before[1])


def test_an_expert_of_weight_0_left_no_trace() -> None:
    base, deltas = experts(2, (10,), 0)
    numbers = coefficients(get_merge_method("task_arithmetic"), [0.0, 1.0])
    with pytest.raises(ConfigError, match="left no trace"):
        unmerge_tensor(base, base + deltas[1], deltas[1:], numbers[1:], numbers[0])


def test_numbers_and_shapes_must_fit() -> None:
    base, deltas = experts(2, (10,), 0)
    with pytest.raises(ConfigError, match="1 other experts need 1 coefficients, not 2"):
        unmerge_tensor(base, base, deltas[:1], [1.0, 1.0], 1.0)
    for merged, other in ((base[:1], base), (base, base[:1])):
        with pytest.raises(MismatchError, match=r"\(10,\) and \(1,\)"):
            unmerge_tensor(base, merged, [other], [1.0], 1.0)
