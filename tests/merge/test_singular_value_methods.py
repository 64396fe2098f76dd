"""isotropic, isotropic_cts and tsv against dense decompositions by numpy, and what they imply."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError
from deme.merge.methods.isotropic import isotropic
from deme.merge.methods.isotropic_cts import isotropic_cts
from deme.merge.methods.matrices import leading_triplets, polar_factor
from deme.merge.methods.task_arithmetic import task_arithmetic
from deme.merge.methods.tsv import tsv

SHAPES = [(6, 9), (9, 6), (8, 8), (6, 2, 3, 3), (12, 1, 2, 2), (4, 40)]
METHODS: list[Callable[..., Tensor]] = [isotropic, isotropic_cts, tsv]


def random(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def experts(shape: Sequence[int], count: int) -> tuple[Tensor, list[Tensor]]:
    return random(99, *shape), [0.01 * random(seed, *shape) for seed in range(count)]


def rotation(seed: int, size: int) -> Tensor:
    return torch.linalg.qr(random(seed, size, size).double())[0].float()


def dense(tensor: Tensor) -> np.ndarray:
    return tensor.double().flatten(1).numpy()


def svd(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    u, s, vh = np.linalg.svd(matrix, full_matrices=False)
    return u, s, vh


def nearest_orthonormal(matrix: np.ndarray) -> np.ndarray:
    u, _, vh = svd(matrix)
    return u @ vh


def assert_near(found: Tensor, base: Tensor, change: np.ndarray) -> None:
    ours = dense(found) - dense(base)
    np.testing.assert_allclose(ours, change, atol=1e-5 * np.abs(change).max() + 2e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_isotropic_is_the_dense_decomposition_with_one_value(shape: tuple[int, ...]) -> None:
    base, deltas = experts(shape, 3)
    weights = [0.7, -0.4, 1.2]
    u, s, vh = svd(np.sum([w * dense(d) for w, d in zip(weights, deltas, strict=True)], axis=0))
    assert_near(isotropic(base, deltas, weights, scale=1.5), base, 1.5 * s.mean() * u @ vh)


@pytest.mark.parametrize("shape", SHAPES)
def test_tsv_is_the_dense_decomposition_with_procrustes_factors(shape: tuple[int, ...]) -> None:
    base, deltas = experts(shape, 2)
    weights = [0.7, -0.4]
    parts = [svd(dense(delta)) for delta in deltas]
    k = len(parts[0][1]) // 2
    u = np.concatenate([part[0][:, :k] for part in parts], axis=1)
    s = np.concatenate([w * part[1][:k] for w, part in zip(weights, parts, strict=True)])
    vh = np.concatenate([part[2][:k] for part in parts])
    change = 1.5 * nearest_orthonormal(u) @ np.diag(s) @ nearest_orthonormal(vh)
    assert_near(tsv(base, deltas, weights, scale=1.5), base, change)


@pytest.mark.parametrize(("shape", "common"), [((10, 14), 0.4), ((20, 3, 2, 2), 0.5)])
def test_isotropic_cts_is_the_dense_computation(shape: tuple[int, ...], common: float) -> None:
    base, deltas = experts(shape, 3)
    weights = [0.7, -0.4, 1.2]
    matrices = [w * dense(d) for w, d in zip(weights, deltas, strict=True)]
    rank = min(matrices[0].shape)
    k = int(rank * common)
    own = (rank - k) // 3
    assert k + 3 * own == rank
    u, s, vh = svd(np.sum(matrices, axis=0))
    parts = [(u[:, :k], s[:k], vh[:k])]
    for matrix in matrices:
        u_i, s_i, vh_i = svd(matrix - u[:, :k] @ u[:, :k].T @ matrix)
        parts.append((u_i[:, :own], s_i[:own], vh_i[:own]))
    left = nearest_orthonormal(np.concatenate([part[0] for part in parts], axis=1))
    right = nearest_orthonormal(np.concatenate([part[2] for part in parts]))
    change = np.concatenate([part[1] for part in parts]).mean() * left @ right
    assert_near(isotropic_cts(base, deltas, weights, common=common), base, change)


def test_hand_worked_values() -> None:
    base = torch.ones(2, 2)
    delta = torch.tensor([[3.0, 0.0], [0.0, 1.0]])
    expected = torch.tensor([[3.0, 1.0], [1.0, 3.0]])  # both values become their mean, 2
    torch.testing.assert_close(isotropic(base, [delta], [1.0]), expected)
    torch.testing.assert_close(isotropic(base, [delta], [-1.0]), 2 * base - expected)
    other = torch.tensor([[0.0, 0.0], [0.0, 5.0]])
    expected = torch.tensor([[4.0, 1.0], [1.0, 6.0]])  # one value each: 3 of the first, 5 alone
    torch.testing.assert_close(tsv(base, [delta, other], [1.0, 1.0]), expected)
    base = torch.ones(3, 3)
    shared = [torch.diag(torch.tensor([4.0, 2.0, 0.0])), torch.diag(torch.tensor([4.0, 0.0, 1.0]))]
    found = isotropic_cts(base, shared, [1.0, 1.0], common=0.4)  # 4 + 4 in common, 2 and 1 own
    torch.testing.assert_close(found, base + 11 / 3 * torch.eye(3))


def test_the_published_sums_and_means_are_a_scale_of_n() -> None:
    matrices, vectors = experts((6, 9), 4)[1], experts((7,), 4)[1]
    alpha, weights = 0.8, [0.8 / 4] * 4
    zero = torch.zeros(6, 9)
    u, s, vh = svd(np.sum([dense(delta) for delta in matrices], axis=0))
    assert_near(isotropic(zero, matrices, weights, scale=4), zero, alpha * s.mean() * u @ vh)
    mean = torch.stack(vectors).mean(0)
    for method in METHODS:
        found = method(torch.zeros(7), vectors, weights, scale=4)
        torch.testing.assert_close(found, alpha * mean)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(6, 9), (9, 6)])
def test_rotating_inputs_and_outputs_rotates_the_change(
    method: Callable[..., Tensor], shape: tuple[int, int]
) -> None:
    _, deltas = experts(shape, 3)
    weights = [0.5, 0.8, -0.3]
    left, right = rotation(7, shape[0]), rotation(8, shape[1])
    zero = torch.zeros(shape)
    change = method(zero, deltas, weights)
    rotated = method(zero, [left @ delta @ right for delta in deltas], weights)
    torch.testing.assert_close(rotated, left @ change @ right, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_experts_does_not_matter(method: Callable[..., Tensor]) -> None:
    base, deltas = experts((6, 9), 3)
    weights = [0.5, 0.8, -0.3]
    torch.testing.assert_close(
        method(base, deltas, weights), method(base, deltas[::-1], weights[::-1])
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(), (5,), (5, 4), (4, 2, 3, 3), (3, 0)])
def test_no_change_gives_the_base_itself(
    method: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    base, deltas = experts(shape, 3)
    assert torch.equal(method(base, [torch.zeros(shape)] * 3, [0.3, 0.3, 0.4]), base)
    assert torch.equal(method(base, deltas, [0.0] * 3), base)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(), (5,)])
def test_what_is_no_matrix_is_merged_by_task_arithmetic(
    method: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    base, deltas = experts(shape, 3)
    weights = [0.3, -1.0, 0.4]
    expected = task_arithmetic(base, deltas, weights)
    assert torch.equal(method(base, deltas, weights), expected)


@pytest.mark.parametrize("method", METHODS)
def test_inputs_are_not_changed_and_the_result_is_new(method: Callable[..., Tensor]) -> None:
    base, deltas = experts((5, 4), 2)
    kept = [base.clone(), *(delta.clone() for delta in deltas)]
    found = method(base, deltas, [0.5, 0.5])
    assert all(torch.equal(a, b) for a, b in zip([base, *deltas], kept, strict=True))
    assert found.data_ptr() != base.data_ptr() and found.dtype == torch.float32


@pytest.mark.parametrize("method", METHODS)
def test_values_that_are_not_finite_stay_so(method: Callable[..., Tensor]) -> None:
    base, deltas = experts((5, 4), 2)
    deltas[1][2, 3] = math.nan
    assert not bool(torch.isfinite(method(base, deltas, [0.5, 0.5])).all())


def test_isotropic_leaves_directions_alone_that_no_expert_changes() -> None:
    low = random(1, 8, 1) @ random(2, 1, 20)
    zero = torch.zeros(8, 20)
    torch.testing.assert_close(isotropic(zero, [low], [1.0]), low)
    three = random(1, 8, 3) @ random(2, 3, 20)
    values = torch.linalg.svdvals(isotropic(zero, [three], [1.0]))
    expected = torch.linalg.svdvals(three)[:3].mean()
    torch.testing.assert_close(values[:3], expected.expand(3))
    assert float(values[3:].max()) < 1e-5


def test_tsv_gives_one_expert_back_whole_whatever_others_weigh_nothing() -> None:
    base, deltas = experts((6, 9), 3)
    found = tsv(base, deltas, [0.0, 1.0, 0.0])
    torch.testing.assert_close(found, base + deltas[1])
    unchanged = tsv(base, [deltas[0], torch.zeros(6, 9)], [1.0, 1.0])
    torch.testing.assert_close(unchanged, base + deltas[0])


def test_tsv_adds_experts_whole_that_do_not_interfere() -> None:
    left, right = rotation(3, 8), rotation(4, 10)
    first = left[:, :4] @ torch.diag(torch.tensor([4.0, 3.0, 2.0, 1.0])) @ right[:4]
    second = left[:, 4:] @ torch.diag(torch.tensor([5.0, 4.0, 3.0, 2.0])) @ right[4:8]
    zero = torch.zeros(8, 10)
    torch.testing.assert_close(
        tsv(zero, [first, second], [0.7, -0.4]), 0.7 * first - 0.4 * second, atol=1e-5, rtol=0
    )


def test_tsv_averages_experts_that_are_equal() -> None:
    _, (delta,) = experts((6, 9), 1)
    u, s, vh = svd(dense(delta))
    zero = torch.zeros(6, 9)
    leading = u[:, :3] @ np.diag(s[:3]) @ vh[:3]
    assert_near(tsv(zero, [delta, delta], [1.0, 1.0]), zero, leading)
    assert_near(tsv(zero, [delta, delta], [1.5, 0.1]), zero, 0.8 * leading)


def test_tsv_keeps_a_direction_of_each_expert_where_there_are_more_experts_than_directions() -> (
    None
):
    base, deltas = experts((2, 9), 5)
    parts = [svd(dense(delta)) for delta in deltas]
    u = nearest_orthonormal(np.concatenate([part[0][:, :1] for part in parts], axis=1))
    vh = nearest_orthonormal(np.concatenate([part[2][:1] for part in parts]))
    s = np.array([0.2 * part[1][0] for part in parts])
    assert_near(tsv(base, deltas, [0.2] * 5), base, u @ np.diag(s) @ vh)


def test_isotropic_cts_is_isotropic_where_there_is_nothing_of_ones_own() -> None:
    base, deltas = experts((6, 9), 3)
    weights = [0.5, 0.8, -0.3]
    expected = isotropic(base, deltas, weights)
    torch.testing.assert_close(isotropic_cts(base, deltas, weights, common=1.0), expected)
    expected = isotropic(base, deltas[:1], [0.5])
    torch.testing.assert_close(isotropic_cts(base, deltas[:1], [0.5], common=0.3), expected)


def test_isotropic_cts_survives_differences_that_cancel() -> None:
    base, (delta,) = experts((6, 9), 1)
    found = isotropic_cts(base, [delta, -delta], [1.0, 1.0])
    assert bool(torch.isfinite(found).all())
    assert torch.equal(isotropic_cts(base, [delta, -delta], [1.0, 1.0], common=1.0), base)


@pytest.mark.parametrize("common", [-0.1, 1.1, math.nan])
def test_a_share_outside_of_its_range_is_refused(common: float) -> None:
    base, deltas = experts((6, 9), 2)
    with pytest.raises(ConfigError, match=r"common = .* Fix: give a share in \[0, 1\]"):
        isotropic_cts(base, deltas, [0.5, 0.5], common=common)


@pytest.mark.parametrize("shape", [(40, 360), (360, 40), (64, 64)])
def test_small_singular_values_keep_their_digits(shape: tuple[int, int]) -> None:
    rank = min(shape)
    values = torch.logspace(0, -4, rank, dtype=torch.float64)
    left, right = rotation(1, shape[0])[:, :rank], rotation(2, shape[1])[:rank]
    matrix = (left.double() * values) @ right.double()
    u, s, vh = svd(matrix.numpy())
    factor, singular = polar_factor(matrix)
    np.testing.assert_allclose(singular.numpy(), s, rtol=1e-6)
    np.testing.assert_allclose(factor.numpy(), u @ vh, atol=1e-6)
    found = leading_triplets(matrix, 7)
    np.testing.assert_allclose(found[1].numpy(), s[:7], rtol=1e-8)
    product = (found[0] * found[1]) @ found[2]
    np.testing.assert_allclose(product.numpy(), (u[:, :7] * s[:7]) @ vh[:7], atol=1e-8)
