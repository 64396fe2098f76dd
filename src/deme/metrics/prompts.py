"""The prompts of a named protocol, from a local file or the hub."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..data import DataConfig
from ..data.opening import open_dataset
from ..errors import ConfigError, DataError, StorageError
from ..files import read_json
from ..randomness import generator
from .named_protocols import PromptSource

SEPARATORS = {".tsv": "\t", ".csv": ","}
FORMATS = (".txt", ".tsv", ".csv", ".json")


def read_prompts(source: PromptSource, path: str | Path | None = None, seed: int = 0) -> list[str]:
    """As many prompts as the protocol says, in their order.

    Where there are more, as among COCO's captions, a seeded choice of them: published choices are
    seldom told.

    Args:
        source: what the protocol says of them.
        path: a local file: lines (``.txt``), a table with a header (``.tsv``, ``.csv``), or JSON: a
            list of texts or objects, or COCO's annotations. None: the protocol's hub data set.
        seed: of the choice.

    Raises:
        ConfigError: no path where the protocol names no data set, or a file of another kind.
        StorageError: the file cannot be read.
        DataError: fewer prompts than the protocol has, or no such column.

    """
    if path is None and source.dataset is None:
        raise ConfigError(
            "The protocol's prompts are on no hub", fix=f"give a local file: {source.file}"
        )
    found = _of_hub(source) if path is None else _of_file(Path(path).expanduser(), source.column)
    prompts = [prompt for text in found if (prompt := text.strip())]
    if len(prompts) < source.count:
        raise DataError(
            f"{source.dataset if path is None else path} has {len(prompts)} prompts and the "
            f"protocol {source.count}",
            fix=f"give {source.file}, whole",
        )
    if len(prompts) == source.count:
        return prompts
    order = torch.randperm(len(prompts), generator=generator(seed, "prompts"))
    return [prompts[index] for index in sorted(order[: source.count].tolist())]


def _of_hub(source: PromptSource) -> list[str]:
    table = open_dataset(DataConfig(dataset=str(source.dataset)), progress=False)
    if source.column not in table.column_names:
        raise _no_column(source.column, table.column_names)
    return [str(text) for text in table[source.column]]


def _of_file(path: Path, column: str) -> list[str]:
    if path.suffix not in FORMATS:
        raise ConfigError(f"{path} is no file of prompts", choices=FORMATS, given=path.suffix)
    if path.suffix == ".json":
        return list(_of_json(read_json(path), column))
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"Cannot read the prompts {path}: {error}") from error
    if path.suffix == ".txt":
        return text.splitlines()
    quoting = csv.QUOTE_NONE if path.suffix == ".tsv" else csv.QUOTE_MINIMAL
    rows = csv.DictReader(
        text.splitlines(keepends=True), delimiter=SEPARATORS[path.suffix], quoting=quoting
    )
    if column not in (rows.fieldnames or ()):
        raise _no_column(column, rows.fieldnames or ())
    return [str(row[column] or "") for row in rows]


def _of_json(value: Any, column: str) -> Iterable[str]:
    rows = value.get("annotations") if isinstance(value, Mapping) else value
    if not isinstance(rows, list):
        raise DataError(
            "The JSON of prompts is neither a list nor COCO's annotations",
            fix="give a list of texts, or of objects with the column",
        )
    for row in rows:
        if isinstance(row, Mapping):
            if column not in row:
                raise _no_column(column, row)
            row = row[column]
        yield str(row)


def _no_column(column: str, columns: Iterable[str]) -> DataError:
    return DataError(f"The prompts have no column {column!r}", choices=columns, given=column)
