"""DARE and DELLA: what is kept, how it is rescaled, and what the seed decides."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from deme.merge.methods.dare_linear import dare_linear
from deme.merge.methods.dare_ties import dare_ties
from deme.merge.methods.della import della
from deme.merge.methods.della_linear import della_linear
from deme.merge.methods.task_arithmetic import task_arithmetic
from deme.merge.methods.ties import ties

ZERO = torch.zeros(40, 50)
Method = Callable[..., Tensor]
every = pytest.mark.parametrize("method", [dare_linear, dare_ties, della, della_linear])
sums = pytest.mark.parametrize("method", [dare_linear, della_linear])


def normal(seed: int) -> Tensor:
    return torch.randn(40, 50, generator=torch.Generator().manual_seed(seed))


def test_dare_divides_what_it_keeps_by_the_density() -> None:
    delta = normal(0)
    merged = dare_linear(ZERO, [delta], [1.0], density=0.25)
    kept = merged != 0
    assert float(kept.float().mean()) == pytest.approx(0.25, abs=0.04)
    torch.testing.assert_close(merged[kept], 4 * delta[kept])
    plain = dare_linear(ZERO, [delta], [1.0], density=0.25, rescale=False)
    torch.testing.assert_close(plain, torch.where(kept, delta, 0.0))


@sums
def test_the_mean_over_seeds_is_task_arithmetic(method: Method) -> None:
    deltas, weights = [normal(0), normal(1)], [0.7, -0.4]
    merged = [method(ZERO, deltas, weights, density=0.6, seed=seed) for seed in range(600)]
    expected = task_arithmetic(ZERO, deltas, weights)
    error = (torch.stack(merged).mean(dim=0) - expected).square().mean().sqrt()
    assert float(error) < 0.1 * float(expected.square().mean().sqrt())


@every
def test_the_seed_decides(method: Method) -> None:
    deltas = [normal(0), normal(1)]
    first = method(ZERO, deltas, [0.5, 0.5], density=0.5, seed=1)
    assert not torch.equal(first, method(ZERO, deltas, [0.5, 0.5], density=0.5, seed=2))
    torch.manual_seed(0)
    assert torch.equal(first, method(ZERO, deltas, [0.5, 0.5], density=0.5, seed=1))


@sums
def test_each_expert_has_a_mask_of_its_own(method: Method) -> None:
    """Equal experts of opposite weights would cancel under one mask."""
    delta = normal(0)
    merged = method(ZERO, [delta, delta], [1.0, -1.0], density=0.5)
    assert float((merged != 0).float().mean()) == pytest.approx(0.5, abs=0.1)


@every
def test_an_expert_of_weight_zero_moves_no_other_mask(method: Method) -> None:
    deltas = [normal(0), normal(1), normal(2)]
    without = [deltas[0], torch.full_like(ZERO, torch.nan), deltas[2]]
    weights = [0.5, 0.0, 0.5]
    assert torch.equal(
        method(ZERO, deltas, weights, density=0.5), method(ZERO, without, weights, density=0.5)
    )


@pytest.mark.parametrize(("linear", "elected"), [(dare_linear, dare_ties), (della_linear, della)])
def test_the_election_uses_the_same_masks(linear: Method, elected: Method) -> None:
    """Where all differences are positive, all agree."""
    deltas = [normal(0).abs() + 0.1, normal(1).abs() + 0.1]
    torch.testing.assert_close(
        elected(ZERO, deltas, [0.5, 0.2], density=0.5, normalize=False),
        linear(ZERO, deltas, [0.5, 0.2], density=0.5, normalize=False),
    )


@every
def test_a_density_of_one_drops_nothing(method: Method) -> None:
    deltas, weights = [normal(0), normal(1)], [0.5, 0.2]
    merged = method(ZERO, deltas, weights, density=1.0, normalize=False)
    linear = method in (dare_linear, della_linear)
    expected = (
        task_arithmetic(ZERO, deltas, weights)
        if linear
        else ties(ZERO, deltas, weights, normalize=False)
    )
    torch.testing.assert_close(merged, expected)


def test_della_keeps_large_elements_more_often_than_dare() -> None:
    delta = normal(0)

    def kept_size(method: Method, **parameters: float) -> float:
        merged = method(ZERO, [delta], [1.0], density=0.5, rescale=False, **parameters)
        return float(merged.abs().sum() / delta.abs().sum())

    assert kept_size(dare_linear) == pytest.approx(0.5, abs=0.03)
    assert kept_size(della_linear, epsilon=0.4) > 0.62


def test_della_ranks_the_weights_of_one_filter() -> None:
    """The largest of a filter of 18 is kept with 0.95, the smallest with 0.05, in weak ones too."""
    filters = torch.arange(1.0, 19.0).view(1, 2, 3, 3) * torch.logspace(-9, 0, 2000).view(
        -1, 1, 1, 1
    )
    merged = della_linear(
        torch.zeros_like(filters), [filters], [1.0], density=0.5, epsilon=0.45, rescale=False
    )
    kept = (merged != 0).float().mean(dim=0).flatten()
    torch.testing.assert_close(kept, torch.linspace(0.05, 0.95, 18), rtol=0, atol=0.05)
