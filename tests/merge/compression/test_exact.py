import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from deme.errors import StorageError
from deme.merge.compression import exact
from deme.merge.compression.exact import decode_exact, encode_exact
from deme.merge.compression.planes import PayloadReader
from deme.merge.difference import difference
from merge.compression.memory_model import INTEGERS, PROPERTY, finetuned, same_bits

FLOATS = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
EIGHTS = [torch.float8_e4m3fn, torch.float8_e5m2]
WHOLES = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]
SHAPES = [(), (0,), (1,), (7,), (3, 0), (4, 6), (3, 2, 4), (2, 3, 3, 3)]
SPECIAL = torch.tensor([math.nan, math.inf, -math.inf, -0.0, 0.0, 1e-45, -1.0, 1.0])


def round_trip(expert: Tensor, base: Tensor) -> Tensor:
    payload = encode_exact(expert, base)
    assert encode_exact(expert, base) == payload
    reader = PayloadReader(payload, "")
    found = decode_exact(reader, base, expert.dtype)
    reader.finish()
    return found


def any_bits(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> Tensor:
    """Every pattern of bits is as likely: NaN of all kinds, denormal numbers, both infinities."""
    draws = torch.Generator().manual_seed(seed)
    size = math.prod(shape) * dtype.itemsize
    raw = torch.randint(256, (size,), generator=draws, dtype=torch.uint8)
    return raw.view(dtype).view(shape) if size else torch.empty(shape, dtype=dtype)


@PROPERTY
@given(
    st.sampled_from(SHAPES),
    st.sampled_from([*FLOATS, *EIGHTS, *WHOLES]),
    st.integers(0, 1000),
)
def test_any_bits_come_back(shape: tuple[int, ...], dtype: torch.dtype, seed: int) -> None:
    expert, base = any_bits(shape, dtype, seed), any_bits(shape, dtype, seed + 1)
    assert same_bits(round_trip(expert, base), expert)


@PROPERTY
@given(
    st.sampled_from(SHAPES),
    st.sampled_from([*FLOATS, *EIGHTS]),
    st.sampled_from([*FLOATS, *EIGHTS]),
    st.integers(0, 1000),
)
def test_any_bits_come_back_from_a_base_of_another_dtype(
    shape: tuple[int, ...], dtype: torch.dtype, base_dtype: torch.dtype, seed: int
) -> None:
    expert, base = any_bits(shape, dtype, seed), any_bits(shape, base_dtype, seed + 1)
    assert same_bits(round_trip(expert, base), expert)


@pytest.mark.parametrize("dtype", FLOATS)
def test_special_values_come_back_from_any_other(dtype: torch.dtype) -> None:
    values = SPECIAL.to(dtype)
    expert = values.repeat(len(values))
    base = values.repeat_interleave(len(values))
    assert same_bits(round_trip(expert, base), expert)


def test_true_and_false_come_back() -> None:
    expert, base = torch.tensor([True, False, True]), torch.tensor([False, False, True])
    assert same_bits(round_trip(expert, base), expert)


@pytest.mark.parametrize("dtype", FLOATS)
def test_tensors_of_several_blocks_come_back(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "BLOCK", 64)
    base, expert = (tensor.to(dtype) for tensor in finetuned((13, 17), 0))
    assert same_bits(round_trip(expert, base), expert)


def test_tensors_that_are_views_come_back() -> None:
    base, expert = finetuned((40, 30), 0)
    assert same_bits(round_trip(expert.T, base.T), expert.T.contiguous())


@pytest.mark.parametrize(
    ("dtype", "ratio"), [(torch.float32, 1.7), (torch.float16, 2.9), (torch.bfloat16, 5.5)]
)
def test_small_differences_take_little(dtype: torch.dtype, ratio: float) -> None:
    base, expert = (tensor.to(dtype) for tensor in finetuned((500, 1000), 0))
    assert expert.nbytes / len(encode_exact(expert, base)) > ratio


def test_signs_that_change_near_zero_are_small_differences() -> None:
    base = 1e-30 * torch.ones(100_000)
    assert len(encode_exact(-base, base)) < 1000


def test_any_cut_is_found() -> None:
    base, expert = finetuned((5, 7), 0)
    payload = encode_exact(expert, base)
    for end in range(len(payload)):
        with pytest.raises(StorageError, match="damaged"):
            decode_exact(PayloadReader(payload[:end], "cut"), base, expert.dtype)


def test_the_difference_of_a_half_precision_expert_is_that_of_what_it_can_hold() -> None:
    base, expert = finetuned((30, 40), 0)
    half = expert.half()
    assert torch.equal(difference(half, base), half.float() - base.half().float())
    assert not difference(base.bfloat16(), base).any()
    assert torch.equal(difference(expert, base.half()), expert - base.half().float())
    wide = difference(expert.double(), base)
    assert wide.dtype == torch.float32 and torch.equal(wide, expert - base)
    assert difference(expert, base).data_ptr() not in (expert.data_ptr(), base.data_ptr())


def test_integers_by_bytes_are_those_of_the_module() -> None:
    assert exact.INTEGERS == INTEGERS
