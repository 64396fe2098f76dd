"""Reads a run folder; what is not there yet is None."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from ..errors import StorageError
from ..files import read_json
from .evidence import Evidence

REMAKE = "remove it and repeat the command that made it"


@dataclass(frozen=True)
class RunFolder:
    """The files of a run.

    Every property is None (or empty, where it is a list) while its file is not there.

    Raises:
        StorageError: there is no such folder; or, where a file is read, it is damaged.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise StorageError(
                f"There is no run folder {self.path}", fix="give the folder that `deme run` made"
            )

    @cached_property
    def spec(self) -> Mapping[str, Any] | None:
        """The run's full specification."""
        return _yaml_mapping(self.path / "spec.yaml")

    @cached_property
    def spec_text(self) -> str | None:
        """The same as it was written."""
        return _text(self.path / "spec.yaml")

    @cached_property
    def environment(self) -> Mapping[str, Any] | None:
        """Versions and the machine."""
        return self._json("environment.json")

    @cached_property
    def manifest(self) -> Mapping[str, Any] | None:
        """Hashes of the artifacts."""
        return self._json("manifest.json")

    @cached_property
    def timings(self) -> Mapping[str, Any] | None:
        """What each stage took."""
        return self._json("timings.json")

    @cached_property
    def validation(self) -> Mapping[str, Any] | None:
        """Losses of every model on every range."""
        return self._json("validation.json")

    @cached_property
    def search(self) -> Mapping[str, Any] | None:
        """The search's result with all evaluations."""
        return self._json("search/result.json")

    @cached_property
    def experts(self) -> list[Mapping[str, Any]]:
        """The experts' training records, from low to high timesteps."""
        folders = sorted((self.path / "experts").glob("*/training.json"))
        records = [self._json(path.relative_to(self.path).as_posix()) for path in folders]
        found = [record for record in records if record is not None]
        return sorted(found, key=lambda record: (list(record["timesteps"]), record["name"]))

    @cached_property
    def joint(self) -> Mapping[str, Any] | None:
        """The training record of the jointly finetuned baseline."""
        return self._json("joint/training.json")

    @cached_property
    def metrics(self) -> Mapping[str, Any] | None:
        """``metrics.json`` as it is."""
        return self._json("metrics.json")

    @cached_property
    def evidence(self) -> Evidence | None:
        """``metrics.json`` with types."""
        return None if self.metrics is None else Evidence.from_mapping(self.metrics)

    @cached_property
    def recipe(self) -> Mapping[str, Any] | None:
        """What was merged from what."""
        return _yaml_mapping(self.path / "merged" / "recipe.yaml")

    @property
    def name(self) -> str:
        """The run's name: the specification's, or else the folder's."""
        return str((self.spec or {}).get("name") or self.path.resolve().name)

    def samples(self, arm: str, count: int | None = None) -> NDArray[np.uint8] | None:
        """The first ``count`` images of an arm, uint8 ``(n, C, H, W)``; the file is only mapped."""
        path = self.path / "samples" / f"{arm}.npy"
        if not path.is_file():
            return None
        try:
            return np.load(path, mmap_mode="r", allow_pickle=False)[:count]
        except (ValueError, OSError, EOFError) as error:
            raise StorageError(f"{path} is not a readable array ({error})", fix=REMAKE) from error

    def _json(self, name: str) -> Mapping[str, Any] | None:
        path = self.path / name
        if not path.is_file():
            return None
        value = read_json(path)
        if not isinstance(value, Mapping):
            raise StorageError(f"{path} does not hold a JSON object", fix=REMAKE)
        return value


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"Cannot read {path}: {error}", fix=REMAKE) from error


def _yaml_mapping(path: Path) -> Mapping[str, Any] | None:
    text = _text(path)
    if text is None:
        return None
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StorageError(f"{path} is not valid YAML ({error})", fix=REMAKE) from error
    if not isinstance(value, Mapping):
        raise StorageError(f"{path} does not hold a YAML mapping", fix=REMAKE)
    return value
