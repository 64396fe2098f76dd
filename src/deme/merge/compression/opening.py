"""Opening a compressed expert: its header is read, its tensors when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import MismatchError, StorageError
from ..sources.contract import ModelSource
from ..sources.mapped import MappedFile
from ..sources.safetensors_files import map_safetensors
from .component import CompressedComponent
from .index import ComponentIndex, index_key, payloads_key
from .metadata import FORMAT, CompressedExpert


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
    file = map_safetensors(path)
    expert = CompressedExpert.from_metadata(file.metadata, str(path))
    components = {}
    for component in sorted(expert.components):
        packed = _bytes_of(file, index_key(component)).numpy().tobytes()
        index = ComponentIndex.unpack(packed, f"{path} ({component})")
        payloads = _payloads(_bytes_of(file, payloads_key(component)), index, path)
        components[component] = CompressedComponent(component, index, payloads, expert, path)
    return components


def open_for_base(path: Path, base: ModelSource) -> ModelSource:
    """A compressed expert as a merge sees it, checked to have no weights that the base lacks.

    That the base's weights are those it was made against is checked at each tensor.

    Raises:
        StorageError: the file is truncated, damaged, or no compressed expert.
        MismatchError: a base of another architecture.

    """
    parts = open_compressed(path)
    for component, part in parts.items():
        source = base.components.get(component)
        ours = {} if source is None else source.layout
        absent = [
            name
            for name, info in part.stored.items()
            if name not in ours or ours[name].shape != info.shape
        ]
        if absent:
            raise MismatchError(
                f"{base.origin} has no {component}/{absent[0]} of shape "
                f"{part.stored[absent[0]].shape}, which {path} has ({len(absent)} such tensors)",
                fix=f"give {part.expert.base_model} as the base",
            )
    owned = {(part.expert.min_timestep, part.expert.max_timestep) for part in parts.values()}
    timesteps = owned.pop() if len(owned) == 1 else (None, None)
    return ModelSource(str(path), dict(parts), None, "adapter", timesteps)


def _bytes_of(file: MappedFile, key: str) -> Tensor:
    info = file.layout.get(key)
    if info is None or info.dtype != torch.uint8 or len(info.shape) != 1:
        raise StorageError(f"{file.path} lacks {key!r}", fix="compress the expert again")
    return file.read(key)


def _payloads(stored: Tensor, index: ComponentIndex, path: Path) -> dict[str, Tensor]:
    sizes = [tensor.nbytes for tensor in index.tensors.values()]
    if sum(sizes) != stored.numel():
        raise StorageError(
            f"{path} holds {stored.numel()} bytes of payloads where its index says {sum(sizes)}",
            fix="compress the expert again",
        )
    parts = zip(index.tensors.items(), stored.split(sizes), strict=True)
    return {name: part for (name, tensor), part in parts if tensor.coding != "same"}
