"""Our merge methods against mergekit's on random and on trained models.

What mergekit made of them was stored by ``oracle/make_mergekit_golden.py``.
"""

import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from deme.merge import MERGE_METHODS

GOLDEN = Path(__file__).parent / "oracle" / "mergekit.safetensors"
EXPERTS = 3
TOLERANCE = 1e-5

with safe_open(GOLDEN, "pt") as file:
    DESCRIBED: dict[str, Any] = json.loads(file.metadata()["golden"])
    STORED: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
CASES: dict[str, dict[str, Any]] = DESCRIBED["cases"]
PECULIAR: dict[str, dict[str, Any]] = DESCRIBED["peculiar"]


def ours(case: Mapping[str, Any], base: Tensor, experts: Sequence[Tensor]) -> Tensor:
    """The same merge by our method, in our words."""
    importlib.import_module(f"deme.merge.methods.{case['method']}")
    parameters = {name: value for name, value in case["parameters"].items() if name != "t"}
    if "lambda" in parameters:
        parameters["lambda_"] = parameters.pop("lambda")
    if case["by_frequency"]:
        parameters["majority_sign_method"] = "frequency"
    weights = case["weights"] or [1.0] * len(experts)
    deltas = [expert - base for expert in experts]
    return MERGE_METHODS[case["method"]].function(base, deltas, weights, **parameters)


def differs_on_purpose(name: str, base: Tensor) -> bool:
    """Whether ours is another for tensors of this shape; the tests below show how."""
    by_output = name in ("nuslerp_columns", "model_stock_filters") and base.dim() > 2
    return by_output or (name.startswith("breadcrumbs") and base.numel() == 1)


def relative_error(merged: Tensor, expected: Tensor) -> float:
    return float((merged - expected).abs().max() / expected.abs().max())


def test_the_stored_results_are_of_the_version_that_we_compare_with() -> None:
    assert DESCRIBED["mergekit"] == "0.1.5"
    methods = {case["method"] for case in CASES.values()}
    assert {
        *("task_arithmetic", "linear", "ties", "slerp", "model_stock", "karcher", "sce"),
        *("nuslerp", "multislerp", "breadcrumbs", "breadcrumbs_ties"),
        *("dare_linear", "dare_ties", "della", "della_linear"),
    } == methods


@pytest.mark.parametrize("group", ["random", "trained"])
@pytest.mark.parametrize("name", CASES)
def test_we_agree_with_mergekit(name: str, group: str) -> None:
    case = CASES[name]
    count = len(case["weights"] or range(EXPERTS))
    tensors = [name.split("/")[2] for name in STORED if name.startswith(f"{group}/base/")]
    assert len(tensors) >= 5
    for tensor in tensors:
        base = STORED[f"{group}/base/{tensor}"]
        experts = [STORED[f"{group}/expert{index}/{tensor}"] for index in range(count)]
        theirs = STORED[f"{group}/{name}/{tensor}"]
        if differs_on_purpose(name, base):
            assert relative_error(ours(case, base, experts), theirs) > 1e-3, tensor
        else:
            assert relative_error(ours(case, base, experts), theirs) <= TOLERANCE, tensor


class Peculiar:
    """An input for which ours differs from mergekit's on purpose."""

    def __init__(self, name: str) -> None:
        self.case = PECULIAR[name]
        self.base = STORED[f"peculiar/{name}/base"]
        count = sum(key.startswith(f"peculiar/{name}/expert") for key in STORED)
        self.experts = [STORED[f"peculiar/{name}/expert{index}"] for index in range(count)]
        self.theirs = STORED[f"peculiar/{name}/merged"]
        self.ours = ours(self.case, self.base, self.experts)

    def expect(self, ours: Tensor, theirs: Tensor) -> None:
        torch.testing.assert_close(self.ours, ours, rtol=1e-5, atol=1e-7 * float(ours.abs().max()))
        torch.testing.assert_close(
            self.theirs, theirs, rtol=1e-4, atol=1e-6 * float(theirs.abs().max())
        )
        assert relative_error(self.ours, self.theirs) > 1e-2


def test_linear_without_normalize_keeps_the_whole_base() -> None:
    """Where mergekit's loses a quarter of it, with weights that sum to 0.75."""
    met = Peculiar("linear_unnormalized")
    first, second = met.experts
    met.expect(
        ours=met.base + 0.5 * (first - met.base) + 0.25 * (second - met.base),
        theirs=0.5 * first + 0.25 * second,
    )


def test_a_negative_weight_turns_the_expert_in_ties() -> None:
    met = Peculiar("ties_negative")
    met.expect(ours=2 * met.base - met.experts[0], theirs=met.experts[0])


def test_breadcrumbs_keeps_the_only_element() -> None:
    met = Peculiar("breadcrumbs_of_one")
    met.expect(ours=met.experts[0], theirs=met.base)


def test_slerp_from_zero_is_linear() -> None:
    """mergekit's is ``sin(π/4)`` of the expert."""
    met = Peculiar("slerp_from_zero")
    met.expect(ours=met.experts[0] / 2, theirs=met.experts[0] * 0.5**0.5)


def test_nuslerp_to_an_expert_that_changed_nothing_is_linear() -> None:
    met = Peculiar("nuslerp_to_unchanged")
    change = met.experts[0] - met.base
    met.expect(ours=met.base + change / 2, theirs=met.base + change * 0.5**0.5)


def test_nuslerp_turns_filters_of_a_convolution() -> None:
    """The same as of a matrix with the filters as rows; mergekit's of one with the kernels'."""
    met = Peculiar("nuslerp_filters")
    assert met.base.dim() == 4

    def of_rows(columns: int) -> Tensor:
        base, *experts = [tensor.reshape(-1, columns) for tensor in (met.base, *met.experts)]
        return ours(met.case, base, experts).reshape(met.base.shape)

    met.expect(ours=of_rows(met.base[0].numel()), theirs=of_rows(met.base.shape[-1]))


def test_karcher_keeps_tiny_tensors() -> None:
    """Scaling all inputs scales the result; mergekit's becomes 0."""
    met = Peculiar("karcher_tiny")
    scale = 2.0**20
    scaled = ours(met.case, met.base * scale, [expert * scale for expert in met.experts])
    torch.testing.assert_close(met.ours, scaled / scale, rtol=1e-5, atol=0)
    assert bool((met.theirs == 0).all()) and bool((met.ours != 0).all())


def test_model_stock_knows_the_angle_between_tiny_differences() -> None:
    """Scaling all inputs scales the result; mergekit's finds next to no angle and stays."""
    met = Peculiar("model_stock_tiny")
    scale = 2.0**20
    scaled = ours(met.case, met.base * scale, [expert * scale for expert in met.experts])
    torch.testing.assert_close(met.ours, scaled / scale, rtol=1e-5, atol=0)
    first, second = met.experts  # both start from a base of 0
    cosine = float(torch.cosine_similarity(first.flatten(), second.flatten(), dim=0))
    met.expect(
        ours=cosine * (first + second) / (1 + cosine),
        theirs=(first + second) * _stock(float((first * second).sum() / 1e-6)) / 2,
    )


def _stock(cosine: float) -> float:
    return 2 * cosine / (1 + cosine)


def test_model_stock_has_one_ratio_for_each_filter_of_a_convolution() -> None:
    met = Peculiar("model_stock_filters")
    deltas = [(expert - met.base).flatten(1) for expert in met.experts]
    cosine = torch.cosine_similarity(deltas[0], deltas[1], dim=1)
    ratio = (2 * cosine / (1 + cosine)).view(-1, 1, 1, 1)
    lines = torch.cosine_similarity(*(expert - met.base for expert in met.experts), dim=-1)
    ratio_of_lines = (2 * lines / (1 + lines)).unsqueeze(-1)
    change = sum(met.experts) / 2 - met.base
    met.expect(ours=met.base + ratio * change, theirs=met.base + ratio_of_lines * change)


def test_sce_weighs_tiny_experts() -> None:
    """mergekit's gives both the same share; here the weaker one has about a twenty-fifth."""
    met = Peculiar("sce_tiny")
    first, second = met.experts  # both start from a base of 0
    shares = torch.stack([first.square().sum(), second.square().sum()])
    total = first + second
    agree = [(vector.sign() == total.sign()).float() for vector in (first, second)]

    def mean(of_first: Tensor, of_second: Tensor) -> Tensor:
        divisor = of_first * agree[0] + of_second * agree[1]
        return (of_first * agree[0] * first + of_second * agree[1] * second) / divisor

    one = torch.tensor(1.0)
    met.expect(ours=mean(shares[0], shares[1]), theirs=mean(one, one))


def test_sce_keeps_an_expert_that_is_alone() -> None:
    met = Peculiar("sce_of_one")
    met.expect(ours=met.experts[0], theirs=met.base)
