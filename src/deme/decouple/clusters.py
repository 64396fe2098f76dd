"""Intervals of timesteps that are alike, found exactly by dynamic programming.

ANT (Go et al., arXiv:2306.00354): of all ways to split the timesteps into ``k`` intervals, the one
with the least ``Σ_i Σ_{t in I_i} d(centre of I_i, t)``, where ``d`` is a distance in t, in log SNR,
or the negative cosine between gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..denoisers import NoiseSchedule
from ..errors import ConfigError
from .partition import Partition

ROUNDING = 1e-9
"""Costs that differ by less than this part of the largest are equal."""


def distances(values: Tensor) -> Tensor:
    """``|x_i − x_j|`` of ``(n,)`` values, float64 ``(n, n)``."""
    values = values.double()
    return (values[:, None] - values[None, :]).abs()


def log_snr(schedule: NoiseSchedule) -> Tensor:
    """``log SNR(t)``, float64 ``(T,)`` on the CPU; ends of no noise or no signal are clipped.

    They get the largest or smallest finite value of the schedule, where the limit has none.
    """
    values = schedule.snr.cpu().log()
    finite = values[values.isfinite()]
    return values.clamp(finite.min(), finite.max())


def interval_costs(table: Tensor) -> Tensor:
    """The cost of every interval, ``Σ_{t in [l, h)} d(centre, t)`` with centre ``⌊(l + h) / 2⌋``.

    Sums along rows of the table are taken once, so that all n²/2 intervals take ``O(n²)``.

    Args:
        table: ``d(centre, t)``, float64 ``(n, n)``: the row is the centre.

    Returns:
        ``(n + 1, n + 1)``: the cost of ``[l, h)`` at ``[l, h]``, infinite where ``l ≥ h``.

    """
    count = len(table)
    sums = torch.cat([table.new_zeros(count, 1), table.cumsum(1)], dim=1)
    ends = torch.arange(count + 1)
    low, high = ends[:, None], ends[None, :]
    centre = ((low + high) // 2).clamp(max=count - 1)
    costs = sums[centre, high] - sums[centre, low]
    return costs.masked_fill(low >= high, torch.inf)


def cheapest_intervals(costs: Tensor, count: int) -> list[int]:
    """The split of ``[0, n)`` into ``count`` intervals whose costs have the least sum.

    Bellman's recursion over where the first interval ends. Of splits that cost the same, the one
    of most equal lengths (the least sum of their squares), then the one that ends earliest; the
    same is up to :data:`ROUNDING`, so that no machine's last digits choose.

    Args:
        costs: as from :func:`interval_costs`, ``(n + 1, n + 1)``.
        count: how many intervals, 1 to n.

    Returns:
        The ``count − 1`` inner boundaries, increasing.

    """
    ends = torch.arange(len(costs), dtype=costs.dtype)
    squares = (ends[None, :] - ends[:, None]).square()
    rounding = ROUNDING * costs[costs.isfinite()].abs().max()
    best, best_squares = costs[:, -1], squares[:, -1]
    chosen: list[Tensor] = []
    for _ in range(count - 1):
        totals = costs + best[None, :]
        least = totals.amin(1, keepdim=True)
        ties = torch.where(totals <= least + rounding, squares + best_squares[None, :], torch.inf)
        chosen.append(ties.argmin(1))
        best, best_squares = least[:, 0], ties.amin(1)
    boundaries, start = [], 0
    for ends_of in reversed(chosen):
        start = int(ends_of[start])
        boundaries.append(start)
    return boundaries


def cluster(table: Tensor, count: int) -> Partition:
    """The best ``count`` intervals of ``n`` timesteps, given what each costs as a centre's peer.

    Args:
        table: ``d(centre, t)``, ``(n, n)``.
        count: how many intervals.

    Raises:
        ConfigError: more intervals than timesteps.

    """
    if not 1 <= count <= len(table):
        raise ConfigError(
            f"{count} clusters do not fit {len(table)} timesteps",
            fix=f"set multitask.clusters to 1 to {len(table)}",
        )
    boundaries = cheapest_intervals(interval_costs(table.double()), count)
    return Partition.from_boundaries(boundaries, len(table))


def cluster_by_timestep(num_timesteps: int, count: int) -> Partition:
    """Intervals of timesteps that are near each other: equal ones."""
    return cluster(distances(torch.arange(num_timesteps)), count)


def cluster_by_snr(schedule: NoiseSchedule, count: int) -> Partition:
    """Intervals of timesteps whose log SNR is alike."""
    return cluster(distances(log_snr(schedule)), count)


def cluster_by_affinity(cosines: Tensor, bins: Partition, count: int) -> Partition:
    """Intervals of whole bins whose gradients point the same way.

    Args:
        cosines: between the bins' mean gradients, ``(bins, bins)``.
        bins: the bins.
        count: how many intervals, at most as many as bins.

    """
    parts = cluster(-cosines, count)
    inner = [bins.boundaries[edge] for edge in parts.boundaries[1:-1]]
    return Partition.from_boundaries(inner, bins.num_timesteps)
