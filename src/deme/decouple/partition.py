"""Half-open timestep ranges ``[low, high)`` that cover ``[0, T)`` without gap or overlap."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True, order=True)
class TimestepRange:
    """Timesteps ``low ≤ t < high``; t = 0 is the least noise."""

    low: int
    high: int

    def __post_init__(self) -> None:
        """Raises: an empty or negative range."""
        if not 0 <= self.low < self.high:
            raise ConfigError(
                f"The timestep range [{self.low}, {self.high}) is empty or negative",
                fix="give 0 <= low < high",
            )

    def __contains__(self, t: int) -> bool:
        return self.low <= t < self.high

    def __len__(self) -> int:
        return self.high - self.low

    def __str__(self) -> str:
        return f"[{self.low}, {self.high})"


@dataclass(frozen=True)
class Partition:
    """N ranges covering ``[0, T)``; range i is ``[(i−1)·T/N, i·T/N)`` when uniform.

    Args:
        ranges: in increasing order.
        num_timesteps: ``T``.

    Raises:
        ConfigError: the ranges overlap, leave a gap, or do not end at ``T``.

    """

    ranges: tuple[TimestepRange, ...]
    num_timesteps: int

    def __post_init__(self) -> None:
        """Checks that the ranges cover ``[0, T)`` exactly once."""
        expected = 0
        for item in self.ranges:
            if item.low > expected:
                raise ConfigError(
                    f"The timestep ranges leave a gap: no range covers [{expected}, {item.low})",
                    fix=f"start the range {item} at {expected}",
                )
            if item.low < expected:
                raise ConfigError(
                    f"The timestep ranges overlap: {item} starts before {expected}, where the "
                    "range before it ends",
                    fix=f"start it at {expected} (ranges are half-open and in increasing order)",
                )
            expected = item.high
        if expected != self.num_timesteps:
            raise ConfigError(
                f"The timestep ranges end at {expected}, the model has {self.num_timesteps} "
                "timesteps",
                fix=f"end the last range at {self.num_timesteps}",
            )

    @classmethod
    def uniform(cls, count: int, num_timesteps: int = 1000) -> Partition:
        """N ranges, equal to rounding: t belongs to range ``⌊t·N/T⌋``, counted from 0."""
        if not 1 <= count <= num_timesteps:
            raise ConfigError(
                f"{count} ranges do not fit {num_timesteps} timesteps",
                fix=f"give 1 to {num_timesteps} ranges",
            )
        first = [-(-num_timesteps * i // count) for i in range(1, count)]  # ⌈i·T/N⌉
        return cls.from_boundaries(first, num_timesteps)

    @classmethod
    def from_boundaries(cls, boundaries: Sequence[int], num_timesteps: int = 1000) -> Partition:
        """Ranges between inner boundaries: ``[250]`` with T = 1000 is [0, 250) and [250, 1000)."""
        edges = [0, *boundaries, num_timesteps]
        if any(low >= high for low, high in itertools.pairwise(edges)):
            raise ConfigError(
                f"The timestep boundaries {list(boundaries)} are not strictly increasing within "
                f"(0, {num_timesteps})",
                fix="give inner boundaries only, such as [250, 500, 750]",
            )
        ranges = tuple(TimestepRange(low, high) for low, high in itertools.pairwise(edges))
        return cls(ranges, num_timesteps)

    @property
    def boundaries(self) -> tuple[int, ...]:
        """All N + 1 edges, 0 and T among them."""
        return (0, *(item.high for item in self.ranges))

    def owner(self, t: int) -> int:
        """The index of the range that holds ``t``."""
        for index, item in enumerate(self.ranges):
            if t in item:
                return index
        raise ConfigError(f"t = {t} is outside [0, {self.num_timesteps})")

    def __len__(self) -> int:
        return len(self.ranges)

    def __iter__(self) -> Iterator[TimestepRange]:
        return iter(self.ranges)
