"""Fisher merging of one tensor: the published formula, and what follows from it."""

import math

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, MismatchError
from deme.merge.methods.fisher import fisher


def experts(count: int, *shape: int) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    draws = torch.Generator().manual_seed(0)
    base = torch.randn(shape, generator=draws)
    deltas = [0.01 * torch.randn(shape, generator=draws) for _ in range(count)]
    return base, deltas, [torch.rand(shape, generator=draws) for _ in range(count)]


@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (4, 2, 3, 3)])
def test_it_is_the_weighted_mean_of_the_experts_weights(shape: tuple[int, ...]) -> None:
    base, deltas, informations = experts(3, *shape)
    weights = [0.5, 0.2, 1.1]
    parts = list(zip(weights, informations, deltas, strict=True))
    above = sum(w * f.double() * (base.double() + d.double()) for w, f, d in parts)
    below = sum(w * f.double() for w, f, _ in parts)
    found = fisher(base, deltas, weights, statistics=informations)
    torch.testing.assert_close(found.double(), above / below, atol=1e-6, rtol=1e-6)


def test_hand_worked_values() -> None:
    base, one, two = torch.tensor([10.0, 10.0]), torch.tensor([1.0, 1.0]), torch.tensor([4.0, 4.0])
    importances = [torch.tensor([3.0, 0.0]), torch.tensor([1.0, 2.0])]
    found = fisher(base, [one, two], [1.0, 3.0], statistics=importances)
    # (1·3·1 + 3·1·4) / (3 + 3) = 2.5; then the first knows nothing, and the second decides
    torch.testing.assert_close(found, torch.tensor([12.5, 14.0]), atol=2e-6, rtol=0)


def test_where_nothing_is_known_it_is_the_weighted_mean() -> None:
    base, deltas, _ = experts(2, 4, 3)
    expected = base + 0.25 * deltas[0] + 0.75 * deltas[1]
    found = fisher(base, deltas, [1.0, 3.0], statistics=[torch.zeros(4, 3)] * 2)
    torch.testing.assert_close(found, expected)
    found = fisher(base, deltas, [1.0, 3.0], statistics=[torch.zeros(4, 3), None])
    torch.testing.assert_close(found, expected)


def test_the_floor_is_every_experts() -> None:
    base, deltas, _ = experts(2, 4)
    informations = [torch.full((4,), 1e-3), torch.full((4,), 1e-5)]
    found = fisher(base, deltas, [1.0, 1.0], statistics=informations, floor=1e-3)
    torch.testing.assert_close(found, base + (deltas[0] + deltas[1]) / 2)


def test_the_size_of_all_statistics_together_does_not_matter() -> None:
    base, deltas, informations = experts(3, 4, 3)
    larger = [1e3 * information for information in informations]
    torch.testing.assert_close(
        fisher(base, deltas, [1.0] * 3, statistics=informations),
        fisher(base, deltas, [2.0] * 3, statistics=larger),
        atol=1e-7,
        rtol=1e-5,
    )


def test_equal_experts_give_that_expert_and_one_hot_its_own() -> None:
    base, deltas, informations = experts(3, 4, 3)
    found = fisher(base, [deltas[0]] * 3, [0.1, 0.4, 0.9], statistics=informations)
    torch.testing.assert_close(found, base + deltas[0])
    found = fisher(base, deltas, [0.0, 0.3, 0.0], statistics=[None, informations[1], None])
    torch.testing.assert_close(found, base + deltas[1])


def test_no_change_and_no_weight_give_the_base() -> None:
    base, deltas, informations = experts(3, 4, 3)
    zeros = [torch.zeros(4, 3)] * 3
    assert torch.equal(fisher(base, zeros, [0.3] * 3, statistics=informations), base)
    assert torch.equal(fisher(base, deltas, [0.0] * 3, statistics=informations), base)


def test_a_piece_of_the_tensor_gives_a_piece_of_the_result() -> None:
    base, deltas, informations = experts(3, 4, 3)
    whole = fisher(base, deltas, [0.5, 0.2, 0.3], statistics=informations).flatten()
    piece = fisher(
        base.flatten()[5:9],
        [delta.flatten()[5:9] for delta in deltas],
        [0.5, 0.2, 0.3],
        statistics=[information.flatten()[5:9] for information in informations],
    )
    assert torch.equal(piece, whole[5:9])


def test_inputs_are_not_changed() -> None:
    base, deltas, informations = experts(2, 4, 3)
    kept = [tensor.clone() for tensor in (base, *deltas, *informations)]
    fisher(base, deltas, [0.5, 0.5], statistics=informations)
    assert all(torch.equal(a, b) for a, b in zip((base, *deltas, *informations), kept, strict=True))


def test_wrong_settings_are_named() -> None:
    base, deltas, informations = experts(2, 4)
    with pytest.raises(ConfigError, match=r"fisher takes a mean, .* the weight -1\.0\. Fix: give"):
        fisher(base, deltas, [2.0, -1.0], statistics=informations)
    for floor in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="give a floor above 0"):
            fisher(base, deltas, [0.5, 0.5], statistics=informations, floor=floor)
    with pytest.raises(ConfigError, match="statistics of 1 experts for 2"):
        fisher(base, deltas, [0.5, 0.5], statistics=informations[:1])
    with pytest.raises(MismatchError, match=r"of shape \(4,\), these have \(4, 4\)"):
        fisher(base, deltas, [0.5, 0.5], statistics=[informations[0], torch.eye(4)])
