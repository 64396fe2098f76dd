"""What an expert is: a timestep range and a source of images, under a name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .partition import Partition, TimestepRange

Source = Literal["data"]
"""Where an expert's images come from: the user's data."""


@dataclass(frozen=True)
class ExpertSpec:
    """One expert. Its range alone does not identify it: other sources may share the range.

    Args:
        name: unique in a run; the name of its folder.
        timesteps: the range it owns.
        source: where its images come from.

    """

    name: str
    timesteps: TimestepRange
    source: Source = "data"


def experts_of(partition: Partition) -> tuple[ExpertSpec, ...]:
    """DeMe's experts: one per range, on the user's data."""
    return tuple(
        ExpertSpec(name=f"t{item.low:04d}-{item.high:04d}", timesteps=item) for item in partition
    )
