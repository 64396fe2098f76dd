"""Which timesteps an expert owns, where its trainer wrote that down."""

from __future__ import annotations

from ..errors import ConfigError
from ..files import read_json
from .sources.contract import ModelSource

RECORD = "training.json"
"""Beside every expert that deme trains; its ``timesteps`` are first and end of the range."""


def owned_timesteps(expert: ModelSource) -> tuple[int | None, int | None]:
    """First timestep of the expert's range and its end, not included; None where unknown.

    Raises:
        StorageError: the record is there and cannot be read.

    """
    if expert.timesteps != (None, None):
        return expert.timesteps
    if expert.folder is None or not (expert.folder / RECORD).is_file():
        return None, None
    record = read_json(expert.folder / RECORD)
    timesteps = record.get("timesteps") if isinstance(record, dict) else None
    match timesteps:
        case [int() as low, int() as high]:
            return low, high
        case _:
            return None, None


def require_range(min_timestep: int | None, max_timestep: int | None) -> None:
    """Checks that a range, where both its ends are known, holds a timestep.

    Raises:
        ConfigError: it is empty or negative.

    """
    if (min_timestep is not None and min_timestep < 0) or (
        min_timestep is not None and max_timestep is not None and min_timestep >= max_timestep
    ):
        raise ConfigError(
            f"The timestep range [{min_timestep}, {max_timestep}) is empty or negative",
            fix="give 0 <= min_timestep < max_timestep",
        )
