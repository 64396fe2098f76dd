"""Whether something may be written where it is to go, asked before the work begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import ConfigError, StorageError
from ..files import free_bytes
from .recipe import RECIPE_FILE, read_recipe
from .sources.contract import ModelSource

DISK_MARGIN = 2**20


def require_output(output: Path, overwrite: bool) -> None:
    """Checks that nothing is lost: what exists is replaced only where it is a merge of ours.

    Raises:
        ConfigError: it exists and may not be replaced.

    """
    if not output.exists() and not output.is_symlink():
        return
    if not _is_merge(output):
        raise ConfigError(
            f"{output} exists and is no merge of deme's: it has no recipe",
            fix="choose another --output, or remove it",
        )
    if not overwrite:
        raise ConfigError(f"{output} exists", fix="choose another --output, or add --overwrite")


def _is_merge(output: Path) -> bool:
    if output.is_dir():
        return (output / RECIPE_FILE).is_file() or not any(output.iterdir())
    try:
        read_recipe(output)
    except ConfigError:
        return False
    return True


def require_form(base: ModelSource, output: Path) -> None:
    """Checks that one file is written as one file, and a folder as a folder.

    Raises:
        ConfigError: the output is named as the other.

    """
    in_file = base.form == "file"
    if in_file and output.suffix != ".safetensors":
        raise ConfigError(
            f"{base.origin} is one file, so what is made of it is one too, and --output {output} "
            "names none",
            fix=f"--output {output}.safetensors",
        )
    if output.exists() and output.is_dir() == in_file:
        raise ConfigError(
            f"{output} is a {'folder' if in_file else 'file'}, and what would replace it is none",
            fix="choose another --output",
        )


def require_apart(models: Sequence[ModelSource], others: Sequence[str], output: Path) -> None:
    """Checks that what would be replaced is not what is read.

    Args:
        models: base and experts.
        others: further files that are read.
        output: what would be replaced.

    Raises:
        ConfigError: it is.

    """
    read = [
        (model.origin, f) for model in models for c in model.components.values() for f in c.files
    ]
    read += [(name, Path(name)) for name in others]
    for origin, file in read:
        if file.resolve().is_relative_to(output.resolve()):
            raise ConfigError(
                f"--output {output} holds {origin}, which the merge reads",
                fix="choose another --output",
            )


def require_space(needed: int, output: Path) -> None:
    """Checks that there is room for so many bytes.

    Raises:
        StorageError: there is not.

    """
    free = free_bytes(output.absolute())
    if needed + DISK_MARGIN > free:
        raise StorageError(
            f"The model takes {needed / 1e9:.2f} GB, and {free / 1e9:.2f} GB are free at "
            f"{output.absolute().parent}",
            fix="choose another --output, free space, or store it smaller with --dtype float16",
        )
