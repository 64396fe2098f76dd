"""Whole numbers as planes of bytes, each entropy coded where that makes it smaller.

The bytes of one significance form a plane: the high ones are nearly constant and shrink to
nothing, the low ones of a weight difference are noise and stay as they are.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from ...errors import StorageError

Codes = npt.NDArray[np.unsignedinteger]
Bytes = npt.NDArray[np.uint8]

BLOCK = 2**18
"""Elements that are packed together: they stay in a core's cache."""
LENGTH_BYTES = 3
"""Of a plane's length, little-endian; a block must have fewer elements than they can say."""
SAMPLED = 16
"""Every so many bytes of a plane are looked at to see whether it is noise."""
ENOUGH = 2**14
"""Bytes to look at: of fewer, noise seems to have less than 8 bits a byte."""
NOISE_BITS = 7.95
"""Bits a byte from which on a plane is stored as it is: decoding it would cost more than it saves.
"""
CODE_BYTES = (1, 2, 4)
NARROW = {2: 4, 4: 16}
"""Bits of a narrow code, and the codes below which all codes of a block must lie."""


class PayloadReader:
    """Reads a tensor's payload front to back; what does not fit is a damaged file.

    Args:
        payload: all bytes of it.
        origin: whose they are, for messages.

    """

    def __init__(self, payload: bytes | memoryview, origin: str) -> None:
        self.rest = memoryview(payload)
        self.origin = origin

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes.

        Raises:
            StorageError: there are not so many.

        """
        if not 0 <= count <= len(self.rest):
            raise self.damaged("it ends too early")
        taken, self.rest = self.rest[:count], self.rest[count:]
        return taken

    def finish(self) -> None:
        """Checks that nothing is left.

        Raises:
            StorageError: something is.

        """
        if len(self.rest) > 0:
            raise self.damaged(f"{len(self.rest)} bytes are left over")

    def damaged(self, why: str) -> StorageError:
        """The error that says what is wrong with the payload."""
        return StorageError(
            f"{self.origin} is damaged: {why}", fix="copy the file again, or compress it again"
        )


def pack_codes(codes: Codes, block: int = BLOCK) -> bytes:
    """Codes as bytes; the same codes give the same bytes.

    Args:
        codes: one axis, unsigned, of any width.
        block: how many are packed together. Entropy coding adapts to each block.

    """
    return b"".join(
        _pack_block(codes[start : start + block]) for start in range(0, codes.size, block)
    )


def unpack_codes(
    reader: PayloadReader, count: int, dtype: npt.DTypeLike, block: int = BLOCK
) -> Codes:
    """What :func:`pack_codes` packed.

    Takes no more memory than ``count`` codes need, whatever the payload says.

    Args:
        reader: stands where they begin.
        count: how many there are.
        dtype: their unsigned type.
        block: as they were packed.

    Raises:
        StorageError: the payload is damaged.

    """
    codes = np.empty(count, dtype)
    for start in range(0, count, block):
        _unpack_block(reader, codes[start : start + block])
    return codes


def pack_with_width(codes: Codes, block: int = BLOCK) -> bytes:
    """As :func:`pack_codes`, for codes whose width the reader does not know."""
    return bytes([codes.itemsize]) + pack_codes(codes, block)


def unpack_with_width(reader: PayloadReader, count: int, block: int = BLOCK) -> Codes:
    """What :func:`pack_with_width` packed.

    Raises:
        StorageError: the payload is damaged.

    """
    width = reader.take(1)[0]
    if width not in CODE_BYTES:
        raise reader.damaged(f"it has codes of {width} bytes")
    return unpack_codes(reader, count, f"u{width}", block)


def _pack_block(codes: Codes) -> bytes:
    highest = int(codes.max())
    for bits, limit in NARROW.items():
        if highest < limit:
            return bytes([bits]) + _pack_plane(_join(codes, bits))
    little = codes.astype(codes.dtype.newbyteorder("<"), copy=False)
    planes = little.view(np.uint8).reshape(codes.size, codes.itemsize)
    packed = [_pack_plane(np.ascontiguousarray(planes[:, i])) for i in range(codes.itemsize)]
    return b"".join([bytes([8]), *packed])


def _unpack_block(reader: PayloadReader, codes: Codes) -> None:
    bits = reader.take(1)[0]
    if bits in NARROW:
        plane = _unpack_plane(reader, -(-codes.size // (8 // bits)))
        codes[:] = _split(plane, bits)[: codes.size]
        return
    if bits != 8:
        raise reader.damaged(f"it has codes of {bits} bits")
    planes = [_unpack_plane(reader, codes.size) for _ in range(codes.itemsize)]
    codes[:] = planes[0]
    for place, plane in enumerate(planes[1:], 1):
        if plane.any():
            codes |= plane.astype(codes.dtype) << codes.dtype.type(8 * place)


def _join(codes: Codes, bits: int) -> Bytes:
    """Several narrow codes in a byte; Huffman's code words are whole bits, so this saves some."""
    together = 8 // bits
    padded = np.zeros(-(-codes.size // together) * together, np.uint8)
    padded[: codes.size] = codes
    columns = padded.reshape(-1, together)
    joined = columns[:, 0].copy()
    for place in range(1, together):
        joined |= columns[:, place] << np.uint8(bits * place)
    return joined


def _split(plane: Bytes, bits: int) -> Bytes:
    together = 8 // bits
    columns = np.empty((plane.size, together), np.uint8)
    for place in range(together):
        columns[:, place] = (plane >> np.uint8(bits * place)) & np.uint8(2**bits - 1)
    return columns.reshape(-1)


def _pack_plane(plane: Bytes) -> bytes:
    """Length and content: nothing of zeros, as it is where the length is the plane's, or deflated.

    Deflate looks for runs and no other repetitions (there are none), and counts bytes: five times
    faster than its default, and smaller.
    """
    if not plane.any():
        return _length(0)
    raw = plane.tobytes()
    if not _is_noise(plane):
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zlib.Z_RLE)
        packed = deflate.compress(raw) + deflate.flush()
        if len(packed) < len(raw):
            return _length(len(packed)) + packed
    return _length(len(raw)) + raw


def _unpack_plane(reader: PayloadReader, count: int) -> Bytes:
    length = int.from_bytes(reader.take(LENGTH_BYTES), "little")
    if length == 0:
        return np.zeros(count, np.uint8)
    packed = reader.take(length)
    if length == count:
        return np.frombuffer(packed, np.uint8)
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        raw = inflate.decompress(packed, count + 1)  # a bomb is stopped one byte past the end
    except zlib.error as error:
        raise reader.damaged(str(error)) from error
    if len(raw) != count or not inflate.eof or inflate.unused_data:
        raise reader.damaged("a plane has another length than its tensor")
    return np.frombuffer(raw, np.uint8)


def _length(count: int) -> bytes:
    return count.to_bytes(LENGTH_BYTES, "little")


def _is_noise(plane: Bytes) -> bool:
    sample = plane[::SAMPLED]
    if sample.size < ENOUGH:
        return False
    counts = np.bincount(sample, minlength=256)
    shares = counts[counts > 0] / sample.size
    return float(-(shares * np.log2(shares)).sum()) > NOISE_BITS
