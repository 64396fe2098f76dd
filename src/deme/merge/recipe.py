"""What is merged from what, and how: a YAML file in mergekit's words, stored beside the result."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, model_validator
from safetensors import SafetensorError, safe_open

from ..config import Config, parse_config
from ..denoisers.loading import BUNDLED
from ..errors import ConfigError
from ..files import hash_value
from .ownership import require_range
from .settings import Setting

RECIPE_FILE = "recipe.yaml"
METADATA_KEY = "deme_recipe"
"""Under this key a merged single file carries its recipe in its metadata."""
HASH_KEY = "deme_recipe_hash"
"""Under this key every merged file carries its recipe's :meth:`MergeRecipe.meaning`."""
StorageDtype = Literal["float32", "float16", "bfloat16", "base"]


class MergeSource(Config):
    """One expert in a merge."""

    model: str
    """The expert: a folder, a file, or a hub id. A relative path is relative to the recipe."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    variant: str | None = None
    """Weight file variant, such as fp16."""
    min_timestep: int | None = None
    """First timestep of the range it owns."""
    max_timestep: int | None = None
    """The range's end, not included."""
    parameters: dict[str, Setting] = Field(default_factory=dict)
    """`weight` (of any sign; 1/N where it is not given), and what the method takes for each expert,
    such as `density`: a number, a gradient over depth, or rules by component, block and kind."""
    statistics: str | None = None
    """What `deme statistics` collected for it, where the method needs that."""
    statistics_hash: str | None = None
    """SHA-256 of that file. Where it is given, another file is refused."""
    stored: str | None = None
    """The dtype of its weights, where that is half precision."""

    @model_validator(mode="after")
    def _check_range(self) -> MergeSource:
        require_range(self.min_timestep, self.max_timestep)
        return self

    hash: str | None = None
    """Of its tensors. Where it is given, other weights are refused."""


class MergeRecipe(Config):
    """A merge that can be repeated."""

    merge_method: str = "task_arithmetic"
    """Name of the merge method."""
    method_file: str | None = None
    """A Python file of your own that registers the method; run only with --allow-code."""
    method_hash: str | None = None
    """SHA-256 of that file. Where it is given, another file is refused."""
    base_model: str
    """The pretrained model: a folder, a file, or a hub id."""
    base_revision: str | None = None
    """Branch, tag or commit on the hub."""
    base_variant: str | None = None
    """Weight file variant, such as fp16."""
    base_hash: str | None = None
    """Of its tensors. Where it is given, other weights are refused."""
    models: list[MergeSource] = Field(min_length=1)
    """The experts."""
    parameters: dict[str, Setting] = Field(default_factory=dict)
    """Parameters of the method, for all experts."""
    seed: int = 0
    """What a method draws from, where it draws."""
    dtype: StorageDtype = "float32"
    """How merged weights are stored. The arithmetic is float32 always; `base` keeps the base's."""
    versions: dict[str, str] = Field(default_factory=dict)
    """Of deme and torch, when it was made."""

    def meaning(self) -> str:
        """SHA-256 of what decides the result: all but the names of places and the versions."""
        left_out = {"base_model", "base_revision", "base_variant", "method_file", "versions"}
        values = self.model_dump(mode="json", exclude=left_out)
        for model in values["models"]:
            for name in ("model", "revision", "variant", "statistics"):
                model.pop(name)
        return hash_value(values)

    def to_yaml(self) -> str:
        """The recipe as YAML, without what was left at its default."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        ordered = {"merge_method": self.merge_method, **values}
        return yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True)

    def to_json(self) -> str:
        """The recipe on one line, without what was left at its default."""
        return json.dumps(self.model_dump(mode="json", exclude_defaults=True), ensure_ascii=False)

    def seen_from(self, origin: Path, folder: Path) -> MergeRecipe:
        """The same recipe where its relative paths start at another folder.

        Args:
            origin: the folder that its paths are relative to.
            folder: the one that they shall be relative to.

        """
        models = [
            model.model_copy(
                update={
                    "model": relocated(model.model, origin, folder),
                    "statistics": model.statistics and relocated(model.statistics, origin, folder),
                }
            )
            for model in self.models
        ]
        changes = {
            "models": models,
            "base_model": relocated(self.base_model, origin, folder),
            "method_file": self.method_file and relocated(self.method_file, origin, folder),
        }
        return self.model_copy(update=changes)


def relocated(path: str, origin: Path, folder: Path) -> str:
    """A path that is relative to ``origin`` as one that is relative to ``folder``.

    An absolute path stays, and so does what is no file here: a hub id, a bundled model's name.

    Args:
        path: of a model or file.
        origin: the folder that it is relative to.
        folder: the one that it shall be relative to.

    """
    if Path(path).is_absolute() or path in BUNDLED:
        return path
    here = _joined(origin, path)
    if not os.path.exists(here):
        return path
    try:
        return Path(os.path.relpath(here, os.path.realpath(folder))).as_posix()
    except ValueError:  # on another drive of a Windows machine
        return here


def located(path: str, folder: Path) -> str:
    """A recipe's path as seen from here; a hub id or a bundled model's name stays.

    Args:
        path: as the recipe names it.
        folder: what the recipe's relative paths start from.

    Raises:
        ConfigError: there is such a path in the working directory, and none beside the recipe.

    """
    if path in BUNDLED:
        return path
    local = _joined(folder, os.path.expanduser(path))
    if os.path.exists(local):
        return local if Path(path).is_absolute() or not _is_here(folder) else path
    if os.path.exists(path):
        raise ConfigError(
            f"{path} is in the working directory, and there is none in {folder}, where the recipe "
            "is",
            fix="paths in a recipe are relative to its own folder; write them so, or whole",
        )
    return path


def _is_here(folder: Path) -> bool:
    return os.path.realpath(folder) == os.path.realpath(".")


def _joined(folder: Path, path: str) -> str:
    """``..`` counts from where the folder really is, whatever links lead there."""
    return os.path.normpath(os.path.join(os.path.realpath(folder), path))


def read_recipe(path: Path) -> tuple[MergeRecipe, Path]:
    """A recipe and the folder that its relative paths start from.

    Args:
        path: a YAML file, a folder that ``deme merge`` wrote, or a file that it wrote.

    Raises:
        ConfigError: there is none, or it is not valid.

    """
    if path.is_dir():
        path = path / RECIPE_FILE
    if not path.is_file():
        raise ConfigError(
            f"No recipe at {path}: there is no such file",
            fix="give a YAML file, or a model that deme merge wrote",
        )
    try:
        text = _embedded(path) if path.suffix == ".safetensors" else path.read_text("utf-8")
        values = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, Mapping):
        raise ConfigError(f"{path} holds no recipe", fix="write merge_method, base_model, models")
    return parse_config(MergeRecipe, values), path.resolve().parent


def _embedded(path: Path) -> str:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    if METADATA_KEY not in metadata:
        raise ConfigError(f"{path} carries no recipe", fix="give a model that deme merge wrote")
    return metadata[METADATA_KEY]
