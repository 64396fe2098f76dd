import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from deme.errors import StorageError
from deme.merge.compression.planes import (
    LENGTH_BYTES,
    PayloadReader,
    pack_codes,
    pack_with_width,
    unpack_codes,
    unpack_with_width,
)
from deme.merge.compression.zigzag import from_zigzag, to_zigzag
from merge.compression.memory_model import PROPERTY

WIDTHS = ["u1", "u2", "u4", "u8"]
CODES = st.sampled_from(WIDTHS).flatmap(
    lambda dtype: arrays.arrays(
        dtype,
        st.integers(0, 60),
        elements=st.one_of(
            st.integers(0, 3), st.integers(0, 20), st.integers(0, int(np.iinfo(dtype).max))
        ),
    )
)


@PROPERTY
@given(CODES, st.integers(1, 70))
def test_codes_come_back(codes: np.ndarray, block: int) -> None:
    packed = pack_codes(codes, block)
    reader = PayloadReader(packed, "")
    found = unpack_codes(reader, codes.size, codes.dtype, block)
    reader.finish()
    assert found.dtype == codes.dtype and np.array_equal(found, codes)
    assert pack_codes(codes, block) == packed


@pytest.mark.parametrize("highest", [0, 3, 15, 200, 60_000])
def test_many_codes_come_back_with_their_width(highest: int) -> None:
    draws = np.random.default_rng(0)
    codes = draws.integers(0, highest, 300_000, endpoint=True)
    codes = codes.astype(np.min_scalar_type(highest))
    reader = PayloadReader(pack_with_width(codes), "")
    found = unpack_with_width(reader, codes.size)
    reader.finish()
    assert found.dtype == codes.dtype and np.array_equal(found, codes)


@pytest.mark.parametrize(("highest", "bits"), [(0, 0.001), (1, 1.02), (3, 2.02), (15, 4.05)])
def test_few_different_codes_take_few_bits(highest: int, bits: float) -> None:
    codes = np.random.default_rng(0).integers(0, highest, 2**18, endpoint=True).astype(np.uint32)
    assert 8 * len(pack_codes(codes)) / codes.size <= bits


def test_noise_grows_by_no_more_than_the_lengths() -> None:
    codes = np.random.default_rng(0).integers(0, 2**32, 2**18, dtype=np.uint32)
    assert len(pack_codes(codes)) <= codes.nbytes + 1 + 4 * LENGTH_BYTES


def test_any_cut_is_found() -> None:
    codes = np.arange(50, dtype=np.uint16) * 300
    packed = pack_codes(codes)
    for end in range(len(packed)):
        with pytest.raises(StorageError, match="damaged"):
            unpack_codes(PayloadReader(packed[:end], "cut"), codes.size, codes.dtype)


def test_what_is_left_over_is_found() -> None:
    reader = PayloadReader(pack_codes(np.zeros(3, np.uint8)) + b"x", "long")
    unpack_codes(reader, 3, "u1")
    with pytest.raises(StorageError, match="1 bytes are left over"):
        reader.finish()


def deflated(raw: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return deflate.compress(raw) + deflate.flush()


def as_plane(content: bytes) -> bytes:
    return bytes([8]) + len(content).to_bytes(LENGTH_BYTES, "little") + content


@pytest.mark.parametrize("raw", [bytes(999), bytes(1001), bytes(10_000_000)])
def test_a_plane_of_another_length_is_refused_without_its_memory(raw: bytes) -> None:
    reader = PayloadReader(as_plane(deflated(raw)), "bomb")
    tracemalloc.start()
    with pytest.raises(StorageError, match="another length"):
        unpack_codes(reader, 1000, "u1")
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    "packed", [as_plane(b"\xff" * 20), bytes([7]) + bytes(20), as_plane(deflated(bytes(50)) + b"x")]
)
def test_nonsense_is_refused(packed: bytes) -> None:
    with pytest.raises(StorageError, match="damaged"):
        unpack_codes(PayloadReader(packed, "nonsense"), 50, "u1")


def test_codes_of_an_unknown_width_are_refused() -> None:
    with pytest.raises(StorageError, match="3 bytes"):
        unpack_with_width(PayloadReader(bytes([3]) + bytes(20), ""), 2)


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_zigzag_counts_out_from_zero_and_back(width: int) -> None:
    near = np.array([0, -1, 1, -2, 2], f"i{width}")
    assert to_zigzag(near).tolist() == [0, 1, 2, 3, 4]
    limits = np.iinfo(f"i{width}")
    all_kinds = np.array([limits.min, limits.max, limits.min + 1, -5, 5], f"i{width}")
    assert np.array_equal(from_zigzag(to_zigzag(all_kinds)), all_kinds)
