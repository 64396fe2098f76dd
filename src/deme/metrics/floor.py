"""The floor: what the metric says of real images against real images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import torch
from torch import Tensor

from ..errors import ConfigError, DataError
from ..randomness import generator
from .inputs import MetricSettings, TableSet, as_tables
from .measurement import compute_metrics
from .statistics import require_features


@dataclass(frozen=True)
class RealFloor:
    """A metric between disjoint sets of real images: no model can be told from better ones below.

    Attributes:
        metric: the metric's name.
        values: one for each pair of sets.
        images: how many images the smallest set had.

    """

    metric: str
    values: tuple[float, ...]
    images: int

    @property
    def mean(self) -> float:
        """Mean over the pairs."""
        return fmean(self.values)

    @property
    def deviation(self) -> float:
        """Standard deviation over the pairs (divided by n − 1); 0 for a single pair."""
        return stdev(self.values) if len(self.values) > 1 else 0.0


def real_floor(
    features: TableSet,
    seed: int = 0,
    repeats: int = 10,
    *,
    metric: str = "frechet",
    count: int | None = None,
    halves: Sequence[tuple[Tensor, Tensor]] | None = None,
    settings: MetricSettings | None = None,
) -> RealFloor:
    """Measure disjoint random sets of real images against each other, over several drawings.

    It belongs beside every number, at the same counts: a distance falls with the count, and a model
    at the floor has nothing left to show.

    Args:
        features: of real images, ``(N, D)``; or tables by name, where the metric reads another.
        seed: of the drawings.
        repeats: how many drawings.
        metric: the metric's name.
        count: images in each set; None: half of all.
        halves: pairs of index tensors to use instead of drawings, the protocol's own split say.
        settings: what the metric leaves open.

    Raises:
        ConfigError: no repeats, or an unknown metric.
        DataError: too few images for two disjoint sets, or ``halves`` that overlap.

    """
    tables = as_tables(features)
    for table in tables.values():
        require_features(table, at_least=4)
    if halves is None:
        total = len(next(iter(tables.values())))
        halves = list(_drawn_halves(total, seed, repeats, count))
    if not halves:
        raise ConfigError(
            "The floor needs at least one pair of sets", fix="give repeats of 1 or more"
        )
    values: list[float] = []
    for first, second in halves:
        if torch.isin(first, second).any():
            raise DataError("The two sets of real images overlap", fix="give disjoint indices")
        sides = ({name: table[rows] for name, table in tables.items()} for rows in (first, second))
        values.append(compute_metrics([metric], *sides, settings=settings)[metric])
    images = min(min(len(first), len(second)) for first, second in halves)
    return RealFloor(metric, tuple(values), images)


def _drawn_halves(
    total: int, seed: int, repeats: int, count: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    size = total // 2 if count is None else count
    if not 2 <= size <= total // 2:
        raise DataError(
            f"{total} real images do not give two disjoint sets of {size}",
            fix=f"ask for 2 to {total // 2} images a set, or use more real images",
        )
    for repeat in range(repeats):
        order = torch.randperm(total, generator=generator(seed, "real floor", repeat))
        yield order[:size], order[size : 2 * size]
