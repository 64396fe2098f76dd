"""The index of one component: where in the file each of its tensors is, and what guards it."""

from __future__ import annotations

import zlib
from typing import Annotated, Literal, Self

import torch
import xxhash
from pydantic import Field, StringConstraints, ValidationError, model_validator
from torch import Tensor

from ...config import Config
from ...errors import StorageError
from ..sources.contract import TensorInfo
from ..streaming import DTYPE_CODES

DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPE_CODES}
"""What tensors may be, by torch's names."""
FLOAT32 = "float32"
LARGEST = 64 * 2**20
"""Bytes of an index, unpacked; that of a million tensors fits."""
INDEX, PAYLOADS = "index", "payloads"

Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
Size = Annotated[int, Field(ge=0)]


class CompressedTensor(Config):
    """One tensor of the expert."""

    shape: tuple[Size, ...]
    """As the base's."""
    dtype: str = FLOAT32
    """As the expert stores it."""
    coding: Literal["same", "exact", "approximate"] = "exact"
    """``same``: the base's weights, rounded to ``dtype``, and no payload."""
    base: Digest
    """XXH3 of the base's tensor; see :func:`digest_tensor`."""
    payload: Digest | None = None
    """XXH3 of the payload."""
    nbytes: Size = 0
    """Of the payload. Payloads follow each other in the order of the index."""
    error: Annotated[float, Field(ge=0)] = 0.0
    """``‖τ̂ − τ‖ / ‖τ‖``, measured."""

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.dtype not in DTYPES:
            raise ValueError(f"unknown dtype {self.dtype!r}")
        if (self.coding == "same") != (self.payload is None):
            raise ValueError(f"{self.coding!r} goes with another payload")
        if self.coding == "approximate" and not DTYPES[self.dtype].is_floating_point:
            raise ValueError("whole numbers are not approximated")
        return self

    @property
    def info(self) -> TensorInfo:
        """Its shape and dtype."""
        return TensorInfo(self.shape, DTYPES[self.dtype])


class ComponentIndex(Config):
    """All tensors of a component."""

    tensors: dict[str, CompressedTensor]
    """By the base's names."""

    def pack(self) -> bytes:
        """The index as deflated JSON."""
        return zlib.compress(self.model_dump_json(exclude_defaults=True).encode(), 9)

    @classmethod
    def unpack(cls, packed: bytes, origin: str) -> ComponentIndex:
        """What :meth:`pack` packed.

        Raises:
            StorageError: it is damaged, or of unlikely size.

        """
        inflate = zlib.decompressobj()
        try:
            text = inflate.decompress(packed, LARGEST)
            if not inflate.eof:
                raise ValueError("it is cut short, or too large")
            return cls.model_validate_json(text)
        except (zlib.error, ValidationError, ValueError) as error:
            raise StorageError(
                f"{origin} has a damaged index ({str(error).splitlines()[0]})",
                fix="copy the file again, or compress the expert again",
            ) from error


def index_key(component: str) -> str:
    """Under which name a component's index lies in the file."""
    return f"{component}/{INDEX}"


def payloads_key(component: str) -> str:
    """Under which name a component's payloads lie in the file."""
    return f"{component}/{PAYLOADS}"


def digest_tensor(tensor: Tensor) -> str:
    """XXH3 (64 bits) over dtype, shape and bytes, in hexadecimal: guards against mistakes."""
    digest = xxhash.xxh3_64(f"{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
    flat = tensor.detach().contiguous().flatten()
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_bytes(payload: bytes | memoryview) -> str:
    """XXH3 (64 bits) of a payload, in hexadecimal."""
    return xxhash.xxh3_64_hexdigest(payload)
