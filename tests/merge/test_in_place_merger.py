from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deme.denoisers import Denoiser, load_denoiser
from deme.errors import ConfigError, MismatchError
from deme.merge import InPlaceMerger, StateDict, TaskVector, merge_weights, read_weights
from deme.merge.statistics import ExpertStatistics, StatisticsDescription


@pytest.fixture
def merger(base: Denoiser, make_expert: Callable[[str, int], Path]) -> InPlaceMerger:
    theta = StateDict({k: v.clone() for k, v in base.weights().items()}, "base")
    vectors = [
        TaskVector.between(theta, read_weights(make_expert(f"e{seed}", seed))) for seed in (1, 2)
    ]
    return InPlaceMerger(base, theta, vectors)


def test_after_many_switches_nothing_has_accumulated(merger: InPlaceMerger) -> None:
    draws = torch.Generator().manual_seed(0)
    for _ in range(50):
        merger(torch.randn(2, generator=draws).mul(3).tolist())
    denoiser = merger((0.3, -0.7))
    fresh = merge_weights(merger.base, merger.vectors, (0.3, -0.7))
    assert StateDict(denoiser.weights(), "").digest() == fresh.digest()
    assert StateDict(merger((0.0, 0.0)).weights(), "").digest() == merger.base.digest()


def test_the_network_is_switched_where_it_is(merger: InPlaceMerger) -> None:
    network = merger.denoiser.network
    places = [parameter.data_ptr() for parameter in network.parameters()]
    denoiser = merger((1.0, 1.0))
    assert denoiser is merger.denoiser and denoiser.network is network
    assert [parameter.data_ptr() for parameter in network.parameters()] == places


def test_a_merge_that_is_not_finite_leaves_the_network_as_it_was(merger: InPlaceMerger) -> None:
    before = StateDict(merger((0.2, 0.1)).weights(), "").digest()
    with pytest.raises(MismatchError, match="not finite"):
        merger((float("nan"), 0.0))
    assert StateDict(merger.denoiser.weights(), "").digest() == before


def test_the_output_is_the_fresh_merges(
    merger: InPlaceMerger, make_pipeline: Callable[..., Path]
) -> None:
    x_t = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(5))
    t = torch.tensor([3, 700])
    fresh = load_denoiser(make_pipeline("again"))
    fresh.load_weights(merge_weights(merger.base, merger.vectors, (0.5, 0.5)))
    merger((9.0, -9.0))
    assert torch.equal(merger((0.5, 0.5)).predict(x_t, t, {}), fresh.predict(x_t, t, {}))


def test_a_method_gets_the_statistics_of_each_expert(merger: InPlaceMerger) -> None:
    theta, vectors = merger.base, merger.vectors
    measured = [_statistics(theta, vectors[0], 1.0), _statistics(theta, vectors[1], 3.0)]
    fisher = InPlaceMerger(merger.denoiser, theta, vectors, method="fisher", statistics=measured)(
        (0.5, 0.5)
    ).weights()
    quarters = merge_weights(theta, vectors, (0.25, 0.75))
    for name, tensor in fisher.items():
        torch.testing.assert_close(tensor, quarters[name])


def test_a_method_with_statistics_cannot_do_without(merger: InPlaceMerger) -> None:
    with pytest.raises(ConfigError, match="needs the fisher statistics"):
        InPlaceMerger(merger.denoiser, merger.base, merger.vectors, method="fisher")
    with pytest.raises(ConfigError, match="needs the regmean statistics"):
        merge_weights(merger.base, merger.vectors, (0.5, 0.5), method="regmean")


def _statistics(theta: StateDict, vector: TaskVector, importance: float) -> ExpertStatistics:
    tensors = {name: torch.full_like(theta[name], importance) for name in theta}
    description = StatisticsDescription(
        kind="fisher",
        min_timestep=0,
        max_timestep=1000,
        samples=1,
        images=1,
        seed=0,
        model=vector.name,
        weights_sha256="",
        data_sha256="",
        deme_version="",
        scale=1.0,
    )
    return ExpertStatistics(tensors, description)
