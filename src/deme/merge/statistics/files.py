"""Statistics as safetensors files: tensors by their weights' names, the description as metadata."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ...errors import MismatchError, StorageError
from ...files import atomic_path
from ..methods.registry import Statistics
from ..sources.contract import TensorInfo
from .expert_statistics import ExpertStatistics, StatisticsDescription

DESCRIPTION = "deme_statistics"
"""The key in the file's metadata."""
SHOWN = 6


def write_statistics(statistics: ExpertStatistics, path: Path) -> None:
    """Writes a file that is complete or absent.

    Raises:
        StorageError: no space, or no permission.

    """
    tensors = {name: tensor.contiguous() for name, tensor in statistics.tensors.items()}
    metadata = {DESCRIPTION: statistics.description.model_dump_json()}
    with atomic_path(path) as partial:
        save_file(tensors, partial, metadata)


def read_statistics(
    path: Path,
    *,
    kind: Statistics | None = None,
    layout: Mapping[str, TensorInfo] | None = None,
) -> ExpertStatistics:
    """Statistics whose tensors are read when they are asked for.

    Args:
        path: what :func:`write_statistics` wrote.
        kind: what is needed; None takes either.
        layout: the base's weights; names and shapes are checked against it.

    Raises:
        StorageError: the file is missing, truncated, or holds something else.
        MismatchError: another kind, or statistics of another architecture: a weight without a
            Fisher (one without a Gram matrix is merged by the mean), a name that the base does
            not have, or another shape.

    """
    tensors = _TensorsInFile(path)
    description = _description(path, tensors.metadata)
    if kind is not None and description.kind != kind:
        raise MismatchError(
            f"{path} holds {description.kind} statistics; {kind} is needed",
            fix=f"deme statistics {description.model} --kind {kind}",
        )
    if layout is not None:
        _require_layout(path, description.kind, tensors.shapes, layout)
    return ExpertStatistics(tensors, description)


class _TensorsInFile(Mapping[str, Tensor]):
    """A safetensors file's tensors, mapped into memory when they are asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = safe_open(path, "pt")
            self.metadata = self._file.metadata() or {}
            names = self._file.keys()
            self.shapes = {name: tuple(self._file.get_slice(name).get_shape()) for name in names}
        except FileNotFoundError as error:
            raise StorageError(
                f"There are no statistics at {path}", fix="collect them with deme statistics"
            ) from error
        except OSError as error:
            raise StorageError(f"Cannot read {path}: {error.strerror or error}") from error
        except SafetensorError as error:
            raise StorageError(
                f"{path} is truncated or not a safetensors file ({error})",
                fix="copy it again, or collect the statistics anew",
            ) from error

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.shapes:
            raise KeyError(name)
        try:
            return self._file.get_tensor(name)
        except (OSError, SafetensorError) as error:
            raise StorageError(f"Cannot read {name} in {self._path}: {error}") from error

    def __iter__(self) -> Iterator[str]:
        return iter(self.shapes)

    def __len__(self) -> int:
        return len(self.shapes)


def _description(path: Path, metadata: Mapping[str, str]) -> StatisticsDescription:
    try:
        return StatisticsDescription.model_validate_json(metadata[DESCRIPTION])
    except (KeyError, ValidationError) as error:
        raise StorageError(
            f"{path} holds no statistics of this version of deme",
            fix="collect them with deme statistics",
        ) from error


def _require_layout(
    path: Path,
    kind: Statistics,
    shapes: Mapping[str, tuple[int, ...]],
    layout: Mapping[str, TensorInfo],
) -> None:
    problems = [f"{name}: not in the base" for name in shapes if name not in layout]
    for name, info in layout.items():
        if name not in shapes:
            if kind == "fisher" and info.dtype.is_floating_point:
                problems.append(f"{name}: no statistics")
            continue
        features = math.prod(info.shape[1:])
        wanted = info.shape if kind == "fisher" else (features, features)
        if shapes[name] != tuple(wanted):
            problems.append(f"{name}: shape {shapes[name]}, not {tuple(wanted)}")
    if problems:
        more = f"\n  and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        listed = "\n  ".join(problems[:SHOWN])
        raise MismatchError(
            f"The statistics in {path} are of another model than the base:\n  {listed}{more}",
            fix="collect them from an expert of this very base",
        )
