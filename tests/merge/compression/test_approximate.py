import math
import struct

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deme.errors import StorageError
from deme.merge.compression.approximate import HEADER, Approximation, as_matrix
from deme.merge.compression.choosing import SMALL, approximate
from deme.merge.compression.low_rank import leading_components
from deme.merge.compression.planes import PayloadReader
from merge.compression.memory_model import PROPERTY, finetuned, relative_error


def decode(payload: bytes, shape: tuple[int, ...]) -> Tensor:
    reader = PayloadReader(payload, "")
    found = Approximation.unpack(reader, as_matrix(shape))
    reader.finish()
    return found.dense(as_matrix(shape)).view(shape)


def rank_of(payload: bytes) -> int:
    return HEADER.unpack(payload[: HEADER.size])[0]


def has_remains(payload: bytes) -> bool:
    return HEADER.unpack(payload[: HEADER.size])[2] != 0


def low_rank(shape: tuple[int, int], rank: int, seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    left = torch.randn(shape[0], rank, generator=draws)
    return 1e-4 * left @ torch.randn(rank, shape[1], generator=draws)


def decaying(shape: tuple[int, int], power: float) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(s, min(shape), generator=draws))[0] for s in shape)
    return 1e-3 * (left * torch.arange(1, min(shape) + 1) ** -power) @ right.T


@PROPERTY
@given(
    st.sampled_from([(5000,), (70, 60), (60, 200), (300, 40), (40, 30, 3, 3), (4, 2000)]),
    st.sampled_from([0.003, 0.05, 0.3, 0.8]),
    st.sampled_from(["noise", "low rank", "decaying"]),
    st.integers(0, 100),
)
def test_the_error_is_kept_and_said(
    shape: tuple[int, ...], error: float, kind: str, seed: int
) -> None:
    base, expert = finetuned(shape, seed)
    if kind == "low rank":
        expert = base + low_rank(as_matrix(shape), 3, seed).view(shape)
    if kind == "decaying":
        expert = base + decaying(as_matrix(shape), 0.7).view(shape)
    tau = expert - base
    found = approximate(expert, base, tau, error)
    assert found is not None
    payload, said = found
    reached = relative_error(decode(payload, shape), tau)
    assert reached == pytest.approx(said, rel=1e-5)
    assert reached <= error * (1 + 1e-6)
    assert approximate(expert, base, tau, error) == found


def test_noise_takes_the_bits_that_theory_asks_for() -> None:
    base, expert = finetuned((400, 500), 0)
    found = approximate(expert, base, expert - base, 0.05)
    assert found is not None
    bits = 8 * len(found[0]) / base.numel()
    least = math.log2(1 / 0.05)  # the rate-distortion function of a normal source
    assert least < bits < least + 0.35  # 0.25 for quantizing each element by itself


@pytest.mark.parametrize("shape", [(200, 300), (300, 200)])
@pytest.mark.parametrize("rank", [1, 4, 60])
def test_a_low_rank_difference_becomes_its_factors(shape: tuple[int, int], rank: int) -> None:
    tau = low_rank(shape, rank)
    base = torch.zeros(shape)
    found = approximate(base + tau, base, tau, 0.05)
    assert found is not None
    assert rank_of(found[0]) == rank and not has_remains(found[0])
    assert len(found[0]) < 1.2 * rank * sum(shape)


def test_a_spectrum_that_falls_takes_low_rank_and_remains() -> None:
    tau = decaying((192, 320), 0.6)
    base = torch.zeros(192, 320)
    found = approximate(tau, base, tau, 0.05)
    quantized = Approximation.within(tau, 0.05**2 * float(tau.double().square().sum()), None)
    assert found is not None and quantized is not None
    assert rank_of(found[0]) > 0 and has_remains(found[0])
    assert len(found[0]) < 0.93 * len(quantized.pack())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite_is_left_to_exact_coding(bad: float) -> None:
    base, expert = finetuned((100, 100), 0)
    expert[3, 4] = bad
    assert approximate(expert, base, expert - base, 0.1) is None


def test_small_tensors_are_left_to_exact_coding() -> None:
    base, expert = finetuned((SMALL,), 0)
    assert approximate(expert, base, expert - base, 0.1) is None


def test_a_half_precision_expert_that_hardly_moved_is_cheaper_exact() -> None:
    base, expert = (tensor.bfloat16() for tensor in finetuned((200, 300), 0, ratio=0.0003))
    assert approximate(expert, base, expert.float() - base.float(), 0.05) is None


def test_differences_too_small_for_float32_are_left_to_exact_coding() -> None:
    tau = torch.full((100, 100), 3e-45)
    assert approximate(tau, torch.zeros(100, 100), tau, 0.01) is None


@pytest.mark.parametrize("shape", [(60, 90), (90, 60)])
def test_leading_components_are_those_of_the_dense_decomposition(shape: tuple[int, int]) -> None:
    matrix = decaying(shape, 2.0)
    found = leading_components(matrix, 20)
    exact = torch.linalg.svdvals(matrix.double())
    assert torch.allclose(found.singular[:8].double(), exact[:8], rtol=1e-3)
    rebuilt = (found.left.T * found.singular) @ found.right
    best = float(exact[20:].norm() / exact.norm())
    assert relative_error(rebuilt, matrix) < 1.3 * best
    assert torch.allclose(found.left @ found.left.T, torch.eye(20), atol=1e-3)


def test_a_matrix_of_lower_rank_gives_no_more_components_than_it_has() -> None:
    assert len(leading_components(low_rank((50, 60), 3).double().float(), 12).singular) <= 12
    matrix = torch.zeros(50, 60)
    matrix[0, 0] = 1.0
    assert len(leading_components(matrix, 12).singular) == 1


def test_any_cut_is_found() -> None:
    tau = decaying((70, 80), 0.7)
    found = approximate(tau, torch.zeros(70, 80), tau, 0.3)
    assert found is not None
    for end in range(0, len(found[0]), 7):
        with pytest.raises(StorageError, match="damaged"):
            decode(found[0][:end], (70, 80))


@pytest.mark.parametrize(
    "header",
    [(2**31, 1.0, 1.0), (71, 1.0, 1.0), (1, math.nan, 1.0), (1, 1.0, math.inf)],
)
def test_ranks_and_steps_that_cannot_be_are_refused(header: tuple[int, float, float]) -> None:
    with pytest.raises(StorageError, match="damaged"):
        decode(HEADER.pack(*header) + bytes(100_000), (70, 80))


def test_singular_values_that_cannot_be_are_refused() -> None:
    for value in (math.nan, 0.0, -1.0):
        payload = HEADER.pack(1, 1.0, 0.0) + struct.pack("<f", value) + bytes(100)
        with pytest.raises(StorageError, match="singular values"):
            decode(payload, (70, 80))


def test_convolutions_are_matrices_of_output_channels() -> None:
    assert as_matrix((8, 4, 3, 3)) == (8, 36)
    assert as_matrix((5, 7)) == (5, 7)
    assert as_matrix((9,)) == (1, 9)
