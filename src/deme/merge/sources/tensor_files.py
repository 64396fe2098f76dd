"""One file of weights, or shards with an index, whatever their format."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ...errors import ModelError, StorageError
from ...files import read_json
from .mapped import MappedFile, MappedSource
from .safetensors_files import map_safetensors
from .tensor_checkpoint import map_checkpoint

SAFETENSORS_SUFFIXES = (".safetensors", ".sft")
CHECKPOINT_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
_DAMAGED = "copy or download the folder again"


def open_tensor_file(file: Path, origin: str | None = None) -> MappedSource:
    """The tensors of one file.

    Raises:
        ModelError: a format that is not read, or a pickle of more than tensors.
        StorageError: the file is truncated or cannot be read.

    """
    opened = _map(file)
    return MappedSource(dict.fromkeys(opened.layout, opened), origin or str(file))


def open_shards(index: Path, origin: str | None = None) -> MappedSource:
    """The tensors of all the files that an index (``….index.json``) names.

    Raises:
        ModelError: an index that is none, that names a file outside of its own folder, or shards
            that hold a tensor twice.
        StorageError: a shard is missing or truncated, or lacks what the index says it has.

    """
    files = _read_index(index)
    holders: dict[str, MappedFile] = {}
    for shard in sorted(set(files.values())):
        if not shard.is_file():
            raise StorageError(
                f"{index} names the shard {shard.name}, which is missing", fix=_DAMAGED
            )
        opened = _map(shard)
        for name in opened.layout:
            if name in holders:
                raise ModelError(
                    f"{name!r} is in two shards of {index}: {holders[name].path.name} and "
                    f"{shard.name}",
                    fix=_DAMAGED,
                )
            holders[name] = opened
    absent = [n for n, shard in files.items() if n not in holders or holders[n].path != shard]
    if absent:
        raise StorageError(
            f"{index} lists {absent[0]!r} in {files[absent[0]].name}, which does not have it "
            f"({len(absent)} such tensors)",
            fix=_DAMAGED,
        )
    return MappedSource(holders, origin or str(index.parent))


def _map(file: Path) -> MappedFile:
    if file.suffix in SAFETENSORS_SUFFIXES:
        return map_safetensors(file)
    if file.suffix in CHECKPOINT_SUFFIXES:
        return map_checkpoint(file)
    raise ModelError(
        f"{file} is not a file of weights that can be read",
        choices=[*SAFETENSORS_SUFFIXES, *CHECKPOINT_SUFFIXES],
        fix="save the weights as safetensors (save_pretrained does)",
    )


def _read_index(index: Path) -> Mapping[str, Path]:
    content = read_json(index)
    files = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not files:
        raise ModelError(f"{index} is not an index of shards: it has no weight_map", fix=_DAMAGED)
    for file in files.values():
        if not isinstance(file, str) or not is_plain_name(file):
            raise ModelError(
                f"{index} names the file {file!r}, which is not in its own folder",
                fix="give a model from a source that you trust",
            )
    return {name: index.parent / file for name, file in files.items()}


def is_plain_name(name: str) -> bool:
    """Whether a name from a file is that of something in the file's own folder."""
    return name.isprintable() and name not in ("", ".", "..") and not set(name) & set("/\\:")
