"""What a compressed expert's file says of itself: JSON in the metadata of a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

import torch
import xxhash
from pydantic import Field, StringConstraints, ValidationError
from torch import Tensor

from ...config import Config
from ...errors import StorageError
from ..sources.contract import TensorInfo
from ..streaming import DTYPE_CODES

FORMAT = "deme-compressed-expert"
"""The value of ``format`` in the file's metadata; other safetensors files say ``pt`` there."""
KEY = "deme"
"""Under this key of the file's metadata stands the JSON."""
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPE_CODES}
"""What tensors may be, by torch's names."""
FLOAT32 = "float32"

Digest = Annotated[str, StringConstraints(pattern="^[0-9a-f]{16}$")]
Component = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""A component becomes the name of a folder: it holds nothing that a path could."""


class CompressedTensor(Config):
    """One tensor of the expert."""

    shape: tuple[Annotated[int, Field(ge=0)], ...]
    """As the base's."""
    dtype: str = FLOAT32
    """As the expert stores it."""
    base: Digest
    """XXH3 of the base's tensor; see :func:`digest_tensor`."""
    coding: Literal["same", "exact", "approximate"] = "exact"
    """``same``: the base's weights, rounded to ``dtype``; then there is no payload."""
    payload: Digest | None = None
    """XXH3 of the payload."""
    error: Annotated[float, Field(ge=0)] = 0.0
    """``‖τ̂ − τ‖ / ‖τ‖``, measured."""

    @property
    def info(self) -> TensorInfo:
        """Its shape and dtype."""
        return TensorInfo(self.shape, DTYPES[self.dtype])


class ComponentContents(Config):
    """One component of the expert."""

    tensors: dict[str, CompressedTensor]
    """By the base's names."""
    error: Annotated[float, Field(ge=0)] = 0.0
    """``‖τ̂ − τ‖ / ‖τ‖`` over all its tensors, measured."""


class CompressedExpert(Config):
    """The contents of a file."""

    format_version: Literal[1] = 1
    """Of this format."""
    base_model: str
    """The base as it was named when the expert was compressed."""
    expert: str
    """The expert's name."""
    min_timestep: int | None = None
    """First timestep of the range that the expert owns."""
    max_timestep: int | None = None
    """The range's end, not included."""
    max_error: float | None = None
    """What was promised of each component's error; None: every bit."""
    components: dict[Component, ComponentContents]
    """Those that differ from the base's."""

    def to_metadata(self) -> dict[str, str]:
        """The metadata of the file; what is at its default is left out."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        values = {"format_version": self.format_version, **values}
        return {"format": FORMAT, KEY: json.dumps(values, separators=(",", ":"))}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], origin: str) -> CompressedExpert:
        """What :meth:`to_metadata` wrote.

        Raises:
            StorageError: this is not the metadata of a compressed expert, or of a later format.

        """
        if metadata.get("format") != FORMAT or KEY not in metadata:
            raise StorageError(
                f"{origin} is not a compressed expert", fix="make one with `deme compress`"
            )
        try:
            values = json.loads(metadata[KEY])
            if isinstance(values, dict) and values.get("format_version") != 1:
                raise StorageError(
                    f"{origin} has the format version {values.get('format_version')!r}; this "
                    "version of deme reads 1",
                    fix="upgrade deme",
                )
            contents = cls.model_validate(values)
        except (ValidationError, ValueError, RecursionError) as error:
            why = str(error).splitlines()[0]
            raise StorageError(
                f"{origin} does not say what it holds ({why})", fix="compress the expert again"
            ) from error
        for name, component in contents.components.items():
            for key, tensor in component.tensors.items():
                if tensor.dtype not in DTYPES:
                    raise StorageError(
                        f"{origin} has {name}/{key} as {tensor.dtype!r}", choices=DTYPES
                    )
        return contents


def digest_tensor(tensor: Tensor) -> str:
    """XXH3 (64 bits) over dtype, shape and bytes, in hexadecimal: guards against mistakes."""
    digest = xxhash.xxh3_64(f"{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
    flat = tensor.detach().contiguous().flatten()
    digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_bytes(payload: bytes | memoryview) -> str:
    """XXH3 (64 bits) of a payload, in hexadecimal."""
    return xxhash.xxh3_64_hexdigest(payload)


def payload_key(component: str, name: str) -> str:
    """Under which name a tensor's payload lies in the file."""
    return f"{component}/{name}"
