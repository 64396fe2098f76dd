import math

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError
from deme.merge.methods.model_stock import model_stock

X, Y, Z = torch.eye(3)
BASE = torch.tensor([1.0, 2.0, 3.0])


def test_experts_that_agree_are_trusted_in_full() -> None:
    torch.testing.assert_close(model_stock(BASE, [X, 2 * X, 3 * X], [1.0] * 3), BASE + 2 * X)


def test_experts_at_right_angles_leave_the_base() -> None:
    torch.testing.assert_close(model_stock(BASE, [X, Y, Z], [1.0] * 3), BASE)


def test_the_papers_ratio() -> None:
    """Two at 60°: t = 2·0.5 / 1.5; three at equal cosines of 0.5: t = 3·0.5 / 2."""
    second = X / 2 + Y * math.sqrt(3) / 2
    third = X / 2 + Y / math.sqrt(12) + Z * math.sqrt(2 / 3)
    for deltas, ratio in (([X, second], 2 / 3), ([X, second, third], 3 / 4)):
        merged = model_stock(BASE, deltas, [1.0] * len(deltas))
        torch.testing.assert_close(merged, BASE + ratio * sum(deltas) / len(deltas))


def test_unequal_weights_are_brought_nearest_to_the_common_point() -> None:
    """The best multiple of ``Σ p_i τ_i`` for ``τ_i = μ + noise``, found on a sample."""
    draws = torch.Generator().manual_seed(0)
    size, p = 200_000, torch.tensor([0.6, 0.3, 0.1])
    common = torch.randn(size, generator=draws)
    deltas = [common + 1.5 * torch.randn(size, generator=draws) for _ in p]
    mean = sum(share * delta for share, delta in zip(p, deltas, strict=True))
    assert isinstance(mean, Tensor)
    best = float(common @ mean / (mean @ mean))
    merged = model_stock(torch.zeros(size), deltas, (3 * p).tolist())
    torch.testing.assert_close(merged, best * mean, rtol=0.02, atol=1e-6)
    equal = model_stock(torch.zeros(size), deltas, [1.0, 1.0, 1.0])
    assert float(equal @ common / (mean @ common)) > best + 0.05, "an equal mean is trusted more"


def test_each_filter_has_a_ratio_of_its_own() -> None:
    base = torch.zeros(2, 3, 1, 1)
    first = torch.stack([X, X]).view(2, 3, 1, 1)
    second = torch.stack([X, Y]).view(2, 3, 1, 1)
    merged = model_stock(base, [first, second], [1.0, 1.0], filter_wise=True)
    torch.testing.assert_close(merged.view(2, 3), torch.stack([X, 0 * X]))
    whole = model_stock(base, [first, second], [1.0, 1.0])
    torch.testing.assert_close(whole, (first + second) / 3)


def test_opposite_experts_leave_the_base() -> None:
    """The ratio has no finite value there."""
    torch.testing.assert_close(model_stock(BASE, [X, -X], [1.0, 1.0]), BASE)


@pytest.mark.parametrize("weights", [[1.0], [0.0, 1.0]])
def test_one_expert_has_nothing_to_be_compared_with(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"got one of a weight other than 0\. Fix: give at l"):
        model_stock(BASE, [X, Y][: len(weights)], weights)
