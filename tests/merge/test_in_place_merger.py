from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deme.denoisers import Denoiser, load_denoiser
from deme.errors import MismatchError
from deme.merge import InPlaceMerger, StateDict, TaskVector, merge_weights, read_weights


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
