"""Mapping a safetensors file."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import ModelError, StorageError


def map_safetensors(file: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a file as views of the mapped file, and the file's metadata.

    Only the header is read. The library checks it against the file's size and refuses headers
    that are too long or no JSON object, and tensors that overlap or leave gaps.

    Raises:
        StorageError: the file is truncated, is not safetensors, or cannot be read.
        ModelError: a dtype that torch does not have.

    """
    try:
        with safe_open(file, framework="pt") as opened:
            tensors = {name: _tensor(opened, file, name) for name in opened.keys()}  # noqa: SIM118
            return tensors, dict(opened.metadata() or {})
    except OSError as error:
        raise StorageError(f"Cannot read {file}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise StorageError(
            f"{file} is truncated or not a safetensors file ({error})",
            fix="copy or download it again",
        ) from error


def _tensor(opened: safe_open, file: Path, name: str) -> Tensor:
    try:
        return opened.get_tensor(name)
    except SafetensorError as error:  # the header is sound: it is the dtype
        kind = opened.get_slice(name).get_dtype()
        raise ModelError(
            f"{file} holds {name!r} as {kind}, which cannot be merged ({error})",
            fix="give weights in float32, float16 or bfloat16",
        ) from error
