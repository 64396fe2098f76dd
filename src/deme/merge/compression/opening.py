"""Opening a compressed expert: its header is read, its tensors when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import StorageError
from ..sources.safetensors_files import map_safetensors
from .component import CompressedComponent
from .metadata import FORMAT, CompressedExpert, CompressedTensor, payload_key


def is_compressed(path: Path) -> bool:
    """Whether ``path`` is a file that :func:`.writing.compress_expert` wrote."""
    if not path.is_file():
        return False
    try:
        with safe_open(path, framework="pt") as opened:
            return (opened.metadata() or {}).get("format") == FORMAT
    except (SafetensorError, OSError):
        return False


def open_compressed(path: Path) -> Mapping[str, CompressedComponent]:
    """The components of a compressed expert that differ from the base's, by name.

    Raises:
        StorageError: the file is truncated, damaged, or no compressed expert.

    """
    tensors, metadata = map_safetensors(path)
    expert = CompressedExpert.from_metadata(metadata, str(path))
    components = {}
    for component, contents in sorted(expert.components.items()):
        payloads = {
            name: _payload(tensors, payload_key(component, name), tensor, path)
            for name, tensor in contents.tensors.items()
            if tensor.coding != "same"
        }
        components[component] = CompressedComponent(component, contents, payloads, expert, path)
    return components


def _payload(
    tensors: Mapping[str, Tensor], key: str, tensor: CompressedTensor, path: Path
) -> Tensor:
    found = tensors.get(key)
    if found is None or found.dtype != torch.uint8 or found.dim() != 1 or tensor.payload is None:
        raise StorageError(
            f"{path} lacks what it lists as {key!r}", fix="compress the expert again"
        )
    if tensor.coding == "approximate" and not tensor.info.dtype.is_floating_point:
        raise StorageError(
            f"{path} approximates {key!r}, which holds whole numbers",
            fix="compress the expert again",
        )
    return found
