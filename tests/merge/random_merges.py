"""Random merges by any method, and which properties each method has."""

import importlib
import itertools
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor

from deme.merge import MERGE_METHODS

for module in pkgutil.iter_modules(importlib.import_module("deme.merge.methods").__path__):
    importlib.import_module(f"deme.merge.methods.{module.name}")
METHODS = {
    name: method
    for name, method in MERGE_METHODS.items()
    if method.function.__module__.startswith("deme.")
}
SHAPES = [(), (0,), (1,), (7,), (3, 0), (1, 1), (4, 6), (5, 3), (3, 2, 4), (4, 3, 3, 3)]


@dataclass(frozen=True)
class Traits:
    """What a method has beside what all have; what is not said of it is not tested."""

    experts: tuple[int, int] = (1, 4)
    """How few and how many it takes."""
    any_number: bool = True
    """It takes one more."""
    signed: bool = True
    """It takes weights of any sign."""
    symmetric: bool = True
    """The order of the experts does not matter."""
    one_hot: bool = True
    """A weight of 1 with all others 0 gives the expert, at its defaults."""
    odd: bool = False
    """Turning all differences turns the change, at no draw of an election."""
    homogeneous: bool = True
    """Scaling base and differences scales the result."""
    shows_nan: bool = True
    """What is not a number in an expert that takes part is not one in the result."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Values of its parameters to be tried."""


DENSITY = {"density": [0.3, 0.7, 1.0]}
NORMALIZE = {"normalize": [False, True]}
SIGN = {"majority_sign_method": ["total", "frequency"]}
BREADCRUMBS = {**DENSITY, **NORMALIZE, "gamma": [0.0, 0.2]}
DARE = {**DENSITY, **NORMALIZE, "rescale": [False, True], "seed": [0, 5]}
DELLA = {**DARE, "epsilon": [0.0, 0.2]}
MEAN = Traits(signed=False, shows_nan=False)
TRAITS = {
    "task_arithmetic": Traits(odd=True),
    "linear": Traits(odd=True, parameters=NORMALIZE),
    "ties": Traits(parameters={**DENSITY, **SIGN, **NORMALIZE}),
    "dare_linear": Traits(symmetric=False, odd=True, parameters=DARE),
    "dare_ties": Traits(symmetric=False, parameters={**DARE, **SIGN}),
    "della": Traits(symmetric=False, parameters={**DELLA, **SIGN}),
    "della_linear": Traits(symmetric=False, odd=True, parameters=DELLA),
    "breadcrumbs": Traits(odd=True, parameters=BREADCRUMBS),
    "breadcrumbs_ties": Traits(parameters={**BREADCRUMBS, **SIGN}),
    "slerp": Traits(experts=(1, 1), any_number=False),
    "nuslerp": Traits(
        experts=(2, 2),
        any_number=False,
        odd=True,
        parameters={"nuslerp_flatten": [False, True], "nuslerp_row_wise": [False, True]},
    ),
    "multislerp": Traits(odd=True, parameters={"normalize_weights": [False, True]}),
    "karcher": Traits(),
    "model_stock": Traits(
        experts=(2, 4), one_hot=False, odd=True, parameters={"filter_wise": [False, True]}
    ),
    "sce": Traits(parameters={"select_topk": [0.4, 1.0]}),
    "fisher": replace(MEAN, homogeneous=False),
    "regmean": MEAN,
    "geometric_median": MEAN,
    "tsv": Traits(odd=True),
    "isotropic": Traits(odd=True, one_hot=False),
    "isotropic_cts": Traits(odd=True, one_hot=False),
}
UNKNOWN = Traits(
    any_number=False,
    signed=False,
    symmetric=False,
    one_hot=False,
    homogeneous=False,
    shows_nan=False,
)


@dataclass(frozen=True)
class Merge:
    """A method with everything it is called with."""

    name: str
    base: Tensor
    deltas: list[Tensor]
    weights: list[float]
    parameters: dict[str, Any]
    statistics: list[Tensor]

    def result(self) -> Tensor:
        parameters = dict(self.parameters)
        if METHODS[self.name].statistics is not None:
            parameters["statistics"] = self.statistics
        return METHODS[self.name].function(self.base, self.deltas, self.weights, **parameters)

    def reordered(self, order: list[int]) -> "Merge":
        return replace(
            self,
            deltas=[self.deltas[index] for index in order],
            weights=[self.weights[index] for index in order],
            statistics=[self.statistics[index] for index in order],
        )

    def mapped(self, function: Callable[[Tensor], Tensor]) -> "Merge":
        return replace(
            self, base=function(self.base), deltas=[function(delta) for delta in self.deltas]
        )


def traits_of(name: str) -> Traits:
    return TRAITS.get(name, UNKNOWN)


@cache
def merges(name: str) -> st.SearchStrategy[Merge]:
    """Weights, differences (some of half precision, some of them 0) and parameters of a method."""
    traits = traits_of(name)
    sizes = [0.0, 0.25, 0.5, 1.0, 1.7] + ([-0.6] if traits.signed else [])
    fewest, most = traits.experts
    weights = st.lists(st.sampled_from(sizes), min_size=fewest, max_size=most).filter(
        lambda drawn: (
            abs(sum(drawn)) > 0.05 * sum(map(abs, drawn))
            and sum(weight != 0 for weight in drawn) >= fewest
        )
    )
    parameters = [
        dict(zip(traits.parameters, values, strict=True))
        for values in itertools.product(*traits.parameters.values())
    ]
    return st.builds(
        make_merge,
        st.just(name),
        st.sampled_from(SHAPES),
        weights,
        st.sampled_from(parameters),
        st.sampled_from([torch.float32, torch.float16, torch.bfloat16]),
        st.integers(0, 999),
    )


def make_merge(
    name: str,
    shape: tuple[int, ...],
    weights: list[float],
    parameters: dict[str, Any],
    precision: torch.dtype,
    seed: int,
) -> Merge:
    """Every third seed has small differences, every fifth an expert that changed nothing."""
    draws = torch.Generator().manual_seed(seed)
    scale = 1e-3 if seed % 3 == 0 else 1.0
    base = torch.randn(shape, generator=draws)
    deltas = []
    for _ in weights:
        expert = (base + scale * torch.randn(shape, generator=draws)).to(precision)
        deltas.append(expert.float() - base.to(precision).float())
    if seed % 5 == 0:
        deltas[0] = torch.zeros_like(base)
    statistics = [statistics_for(name, base, draws) for _ in weights]
    return Merge(name, base, deltas, weights, parameters, statistics)


def statistics_for(name: str, base: Tensor, draws: torch.Generator) -> Tensor:
    if METHODS[name].statistics != "regmean":
        return torch.rand(base.shape, generator=draws) + 0.1
    features = base.numel() // max(1, base.shape[0]) if base.dim() > 1 else 0
    inputs = torch.randn(2 * features, features, generator=draws)
    return inputs.T @ inputs
