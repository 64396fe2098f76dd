"""What merge methods refuse, and how they say so."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError
from deme.merge.methods.breadcrumbs import breadcrumbs
from deme.merge.methods.breadcrumbs_ties import breadcrumbs_ties
from deme.merge.methods.dare_linear import dare_linear
from deme.merge.methods.dare_ties import dare_ties
from deme.merge.methods.della import della
from deme.merge.methods.della_linear import della_linear
from deme.merge.methods.karcher import karcher
from deme.merge.methods.linear import linear
from deme.merge.methods.model_stock import model_stock
from deme.merge.methods.multislerp import multislerp
from deme.merge.methods.nuslerp import nuslerp
from deme.merge.methods.sce import sce
from deme.merge.methods.task_arithmetic import task_arithmetic
from deme.merge.methods.ties import ties

BASE = torch.tensor([1.0, 2.0, 3.0])
DELTAS = [torch.tensor([1.0, 0.0, -1.0]), torch.tensor([0.5, 2.0, 1.0])]
HALVES = [0.5, 0.5]
DENSE = [ties, dare_linear, dare_ties, della, della_linear, breadcrumbs, breadcrumbs_ties]


def refused(method: Callable[..., Tensor], message: str, **parameters: Any) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        method(BASE, DELTAS, parameters.pop("weights", HALVES), **parameters)


@pytest.mark.parametrize("method", DENSE)
@pytest.mark.parametrize("density", [0, -0.5, 1.01, float("nan"), True])
def test_a_density_out_of_range_is_refused(method: Callable[..., Tensor], density: float) -> None:
    message = f"density is {density!r}. Choices: above 0 and at most 1. Fix: set density to"
    refused(method, message, density=density)
    refused(method, message, density=[0.5, density])


@pytest.mark.parametrize("method", DENSE)
def test_one_density_for_each_expert_or_for_all(method: Callable[..., Tensor]) -> None:
    refused(method, "density has 3 values for 2 experts. Fix: give one", density=[0.5] * 3)
    refused(method, "density is 'half'. Choices: above 0", density="half")
    refused(method, "density is None. Choices: above 0", density=None)


@pytest.mark.parametrize("method", [breadcrumbs, breadcrumbs_ties])
def test_all_may_not_be_outliers(method: Callable[..., Tensor]) -> None:
    refused(method, "gamma is 1.0. Choices: from 0 to below 1", gamma=1.0)
    refused(method, "gamma is -0.1. Choices: from 0 to below 1", gamma=[0.1, -0.1])


@pytest.mark.parametrize("method", [della, della_linear])
def test_chances_must_be_chances(method: Callable[..., Tensor]) -> None:
    refused(method, "epsilon is -0.1. Choices: from 0 to below 1", epsilon=-0.1)
    message = "density 0.9 ± epsilon 0.15 is not within (0, 1]. Fix: set epsilon below 0.1"
    refused(method, message, density=0.9)
    message = "density 0.1 ± epsilon 0.1 is not within (0, 1]. Fix: set epsilon below 0.1"
    refused(method, message, density=[0.1, 0.5], epsilon=0.1)
    method(BASE, DELTAS, HALVES, density=1.0, epsilon=0.5)


def test_a_share_to_select_is_one_number_above_zero() -> None:
    refused(sce, "select_topk is 0. Choices: above 0 and at most 1", select_topk=0)
    refused(sce, "select_topk has 2 values for 1 experts", select_topk=[0.5, 0.5])


@pytest.mark.parametrize("method", [linear, nuslerp, multislerp, karcher, model_stock])
@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.1 + 0.2, -0.3]])
def test_weights_that_cancel_cannot_be_made_to_sum_to_one(
    method: Callable[..., Tensor], weights: list[float]
) -> None:
    refused(method, f"The weights {weights} sum to 0", weights=weights)


@pytest.mark.parametrize("method", [dare_linear, della_linear, breadcrumbs])
def test_weights_that_cancel_are_refused_where_a_sum_is_normalized(
    method: Callable[..., Tensor],
) -> None:
    refused(method, "sum to 0", weights=[1.0, -1.0], normalize=True)
    merged = method(BASE, DELTAS, [1.0, -1.0], normalize=False)
    torch.testing.assert_close(merged, BASE + DELTAS[0] - DELTAS[1])


def test_linear_is_the_mean_of_the_experts() -> None:
    merged = linear(BASE, DELTAS, [3.0, 1.0])
    torch.testing.assert_close(merged, 0.75 * (BASE + DELTAS[0]) + 0.25 * (BASE + DELTAS[1]))
    extrapolated = linear(BASE, DELTAS, [2.0, -1.0])
    torch.testing.assert_close(extrapolated, BASE + 2 * DELTAS[0] - DELTAS[1])


def test_linear_without_normalizing_is_task_arithmetic() -> None:
    weights = [0.3, -0.9]
    merged = linear(BASE, DELTAS, weights, normalize=False)
    assert torch.equal(merged, task_arithmetic(BASE, DELTAS, weights))
