"""Intervals of timesteps: dynamic programming against all ways to split."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from deme.decouple import Partition
from deme.decouple.clusters import (
    cluster,
    cluster_by_affinity,
    cluster_by_snr,
    cluster_by_timestep,
    distances,
    interval_costs,
    log_snr,
)
from deme.denoisers import NoiseSchedule, load_denoiser
from deme.errors import ConfigError

T = 12


def tables() -> dict[str, Tensor]:
    """Distances between twelve timesteps; those of whole numbers have many ties."""
    draws = torch.Generator().manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn((T, 4), generator=draws), dim=1).double()
    alpha_bar = torch.linspace(0.99, 0.01, T, dtype=torch.float64)
    return {
        "timestep": distances(torch.arange(T)),
        "snr": distances(log_snr(NoiseSchedule.variance_preserving(alpha_bar))),
        "affinity": -(vectors @ vectors.T),
        "not symmetric": torch.rand((T, T), generator=draws, dtype=torch.float64),
        "ties": torch.randint(0, 3, (T, T), generator=draws).double(),
        "all the same": torch.zeros((T, T), dtype=torch.float64),
    }


def cost(table: Tensor, low: int, high: int) -> float:
    return sum(float(table[(low + high) // 2, t]) for t in range(low, high))


def splits(count: int) -> list[tuple[int, ...]]:
    return [(0, *inner, T) for inner in itertools.combinations(range(1, T), count - 1)]


@pytest.mark.parametrize("name", list(tables()))
@pytest.mark.parametrize("count", [1, 2, 3, 5, 11, 12])
def test_no_other_split_is_cheaper(name: str, count: int) -> None:
    table = tables()[name]
    found = cluster(table, count).boundaries
    totals = {
        edges: round(sum(cost(table, a, b) for a, b in itertools.pairwise(edges)), 9)
        for edges in splits(count)
    }
    cheapest = min(totals.values())
    assert totals[found] == cheapest
    ties = [edges for edges, total in totals.items() if total == cheapest]
    squares = {edges: sum((b - a) ** 2 for a, b in itertools.pairwise(edges)) for edges in ties}
    assert found == min(ties, key=lambda edges: (squares[edges], edges))


@pytest.mark.parametrize("name", list(tables()))
def test_costs_by_prefix_sums_are_the_sums(name: str) -> None:
    table = tables()[name]
    costs = interval_costs(table)
    for low, high in itertools.product(range(T + 1), repeat=2):
        if low < high:
            assert float(costs[low, high]) == pytest.approx(cost(table, low, high), abs=1e-12)
        else:
            assert float(costs[low, high]) == torch.inf


@pytest.mark.parametrize("count", [1, 2, 4, 5, 8, 10])
def test_by_timestep_they_are_equal(count: int) -> None:
    assert cluster_by_timestep(1000, count) == Partition.uniform(count, 1000)


def test_by_snr_they_follow_log_snr(tiny_pipeline: Callable[..., Path]) -> None:
    """Where log SNR falls ten times faster, intervals are shorter."""
    fast = torch.arange(0, 20, dtype=torch.float64)
    slow = 20 + torch.arange(0, 80, dtype=torch.float64) / 10
    snr = (-torch.cat([fast, slow])).exp()
    schedule = NoiseSchedule.variance_preserving(snr / (1 + snr))
    found = cluster_by_snr(schedule, 4)
    widths = [len(item) for item in found]
    assert max(widths[:2]) < 12
    assert widths[-1] > 40
    whole = cluster_by_snr(load_denoiser(tiny_pipeline()).schedule, 5)
    assert len(whole) == 5
    assert whole != Partition.uniform(5, 1000)


@pytest.mark.parametrize("ends", [(0, 1), (1, 0)])
def test_no_noise_and_no_signal_have_a_place(ends: tuple[int, int]) -> None:
    sigma = torch.linspace(ends[0], ends[1], 100, dtype=torch.float64)
    flow = NoiseSchedule(1 - sigma, sigma)
    assert bool(log_snr(flow).isfinite().all())
    assert cluster_by_snr(flow, 3).boundaries[-1] == 100


def test_blocks_of_agreeing_gradients_are_found() -> None:
    owners = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2, 2, 2])
    cosines = (owners[:, None] == owners[None, :]).double()
    bins = Partition.uniform(10, 1000)
    assert cluster_by_affinity(cosines, bins, 3).boundaries == (0, 500, 700, 1000)


@pytest.mark.parametrize("count", [0, 13])
def test_more_clusters_than_timesteps(count: int) -> None:
    with pytest.raises(ConfigError, match=f"{count} clusters do not fit 12 timesteps"):
        cluster_by_timestep(T, count)
