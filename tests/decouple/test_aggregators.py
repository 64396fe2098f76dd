"""Rules that make one direction of several gradients."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from deme.decouple.aggregators import AGGREGATORS, make_aggregator, nash_weights, task_weights
from deme.errors import ConfigError, MissingExtraError

SCALE_FREE = ("nash_mtl", "pcgrad", "upgrad", "imtl_g", "mgda", "aligned_mtl", "mean")


def gradients(count: int, seed: int, scale: float = 1.0, common: float = 0.0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    rows = torch.randn((count, 30), generator=draws, dtype=torch.float64) + common
    return rows * scale ** torch.arange(count, dtype=torch.float64)[:, None]


def combined(name: str, rows: Tensor) -> Tensor:
    torch.manual_seed(0)
    return task_weights(make_aggregator(name), rows @ rows.T) @ rows


@pytest.mark.parametrize("count", [1, 2, 5, 12])
@pytest.mark.parametrize("scale", [1.0, 10.0, 0.01])
@pytest.mark.parametrize("common", [0.0, 1.0, -0.2])
def test_nash_satisfies_its_optimality_conditions(count: int, scale: float, common: float) -> None:
    """``Gα = 1/α`` with ``α > 0`` (Navon et al., Claim 3.1)."""
    rows = gradients(count, 1, scale, common)
    gramian = rows @ rows.T
    alpha = nash_weights(gramian)
    assert bool((alpha > 0).all())
    assert torch.allclose(gramian @ alpha * alpha, torch.ones(count).double(), atol=1e-6)
    assert float((alpha @ rows).square().sum()) == pytest.approx(count, rel=1e-6)


def test_nash_of_conflicting_gradients_is_the_same_from_any_basis() -> None:
    """α changes with a task's scale such that the step does not: the bargain has no scale."""
    rows = gradients(4, 2, common=-0.1)
    scales = torch.tensor([1.0, 100.0, 0.01, 3.0], dtype=torch.float64)[:, None]
    step = combined("nash_mtl", rows)
    assert torch.allclose(combined("nash_mtl", rows * scales), step, atol=1e-6)


def test_opposite_gradients_have_a_finite_bargain() -> None:
    row = gradients(1, 3)
    rows = torch.cat([row, -row])
    alpha = nash_weights(rows @ rows.T)
    assert bool(alpha.isfinite().all())
    assert float((alpha @ rows).norm()) < 1e-2


@pytest.mark.filterwarnings("default")  # cvxpy tells how fast it is
def test_nash_agrees_with_torchjd_where_that_converges() -> None:
    from torchjd.aggregation import NashMTL

    rows = gradients(5, 4)
    reference = NashMTL(5, max_norm=0.0)(rows)
    assert torch.allclose(5 * combined("nash_mtl", rows), reference, rtol=1e-4)


@pytest.mark.parametrize("name", ["pcgrad", "cagrad", "imtl_g", "mgda", "aligned_mtl"])
def test_torchjd_gives_the_same_from_the_gradients(name: str) -> None:
    from torchjd import aggregation

    rows = gradients(4, 5, common=-0.1)
    kinds: dict[str, Any] = {
        "pcgrad": aggregation.PCGrad,
        "cagrad": lambda: aggregation.CAGrad(c=0.4),
        "imtl_g": aggregation.IMTLG,
        "mgda": aggregation.MGDA,
        "aligned_mtl": aggregation.AlignedMTL,
    }
    ours = combined(name, rows) * (4 if name == "pcgrad" else 1)
    torch.manual_seed(0)
    assert torch.allclose(ours, kinds[name]()(rows), rtol=1e-6, atol=1e-9)


def test_upgrad_conflicts_with_no_gradient_and_is_a_mean_of_projections() -> None:
    rows = gradients(4, 0, common=-0.15)
    gramian = rows @ rows.T
    assert bool((gramian < 0).any())
    step = combined("upgrad", rows)
    assert bool((rows @ step > -1e-9).all())
    least = torch.eye(4, dtype=torch.float64)
    v = least.clone()
    for _ in range(2_000):  # each row descends vᵀGv over v ≥ u, slowly
        v = torch.maximum(v - v @ gramian / gramian.trace(), least)
    assert torch.allclose(step, v.mean(0) @ rows, atol=1e-6)


@pytest.mark.parametrize("name", SCALE_FREE)
def test_a_task_alone_gets_its_own_direction(name: str) -> None:
    row = gradients(1, 6)
    step = combined(name, row)
    if name == "nash_mtl":
        assert torch.allclose(step, row[0] / row.norm())
    else:
        assert torch.allclose(step, row[0])


@pytest.mark.parametrize("name", AGGREGATORS)
def test_orthogonal_gradients_of_one_size_get_equal_weights(name: str) -> None:
    weights = task_weights(make_aggregator(name), 4 * torch.eye(3, dtype=torch.float64))
    assert torch.allclose(weights, weights.mean().expand(3), rtol=1e-4)
    assert float(weights.mean()) > 0


@pytest.mark.parametrize("name", AGGREGATORS)
def test_a_zero_gradient_is_left_out(name: str) -> None:
    rows = torch.cat([gradients(2, 7), torch.zeros((1, 30), dtype=torch.float64)])
    torch.manual_seed(0)
    weights = task_weights(make_aggregator(name), rows @ rows.T)
    torch.manual_seed(0)
    without = task_weights(make_aggregator(name), rows[:2] @ rows[:2].T)
    assert torch.equal(weights, torch.cat([without, torch.zeros(1)]))


def test_gradients_that_are_not_finite_reach_the_loop() -> None:
    gramian = torch.full((2, 2), torch.nan, dtype=torch.float64)
    assert torch.equal(task_weights(make_aggregator("nash_mtl"), gramian), torch.ones(2) / 2)


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchjd", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deme\[baselines\]'"):
        make_aggregator("pcgrad")
    for name in ("nash_mtl", "mean"):
        make_aggregator(name)


def test_an_unknown_name_lists_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"Unknown aggregator 'nash'.*nash_mtl, pcgrad"):
        make_aggregator("nash")
