"""Mapping a safetensors file."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ...errors import ModelError, StorageError
from .contract import TensorInfo
from .mapped import MappedFile

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""What the format calls them, to torch's dtypes."""


def map_safetensors(file: Path) -> MappedFile:
    """Opens a file; only its header is read.

    The library checks the header against the file's size and refuses headers that are too long or
    no JSON object, and tensors that overlap or leave gaps.

    Raises:
        StorageError: the file is truncated, is not safetensors, or cannot be read.
        ModelError: a dtype that torch does not have.

    """
    try:
        # left open for as long as the tensors are read; the map goes when the last of them does
        opened = safe_open(file, framework="pt")
        layout = {name: _info(opened, file, name) for name in opened.keys()}  # noqa: SIM118
        return MappedFile(file, layout, opened.get_tensor, dict(opened.metadata() or {}))
    except OSError as error:
        raise StorageError(f"Cannot read {file}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise StorageError(
            f"{file} is truncated or not a safetensors file ({error})",
            fix="copy or download it again",
        ) from error


def _info(opened: safe_open, file: Path, name: str) -> TensorInfo:
    # not from the tensor itself: making one touches its first page, a read from the disk for each
    header = opened.get_slice(name)
    code = header.get_dtype()
    if code not in DTYPES:
        raise ModelError(
            f"{file} holds {name!r} as {code}, which cannot be merged",
            choices=DTYPES,
            fix="give weights in float32, float16 or bfloat16",
        )
    return TensorInfo(tuple(header.get_shape()), DTYPES[code])
