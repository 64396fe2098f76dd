"""Stores what mergekit makes of small models, for the comparison with ours.

Not a test: it runs in an environment of its own, with mergekit and torch, and writes
``mergekit.safetensors`` beside itself:

    python -m venv mergekit-env
    mergekit-env/bin/pip install torch==2.13.0 mergekit==0.1.5
    mergekit-env/bin/python tests/merge/oracle/make_mergekit_golden.py

The file holds ``<models>/base/<tensor>``, ``<models>/expert<i>/<tensor>`` and, for each case,
``<models>/<case>/<tensor>``; its metadata say which versions made it and what the cases are.
"""

# pyright: reportMissingImports=false
# mergekit is in that environment alone

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mergekit.merge_methods.api import merge_tensors
from mergekit.merge_methods.generalized_task_arithmetic import (
    ConsensusMethod,
    GeneralizedTaskArithmeticMerge,
)
from mergekit.sparsify import SparsificationMethod
from safetensors.torch import save_file
from torch import Tensor, nn

GOLDEN = Path(__file__).with_name("mergekit.safetensors")
EXPERTS = 3
Model = dict[str, Tensor]

TIES_BY_FREQUENCY = GeneralizedTaskArithmeticMerge(
    consensus_method=ConsensusMethod.count,
    sparsification_method=SparsificationMethod.magnitude,
    default_normalize=True,
    default_rescale=False,
    method_name="ties",
    method_pretty_name=None,
    method_reference_url=None,
)


class Case(NamedTuple):
    """One merge, in mergekit's words."""

    method: str
    """The method's name, here and there."""
    parameters: dict[str, Any]
    """What is set beside the weights."""
    weights: list[float] | None
    """One for each expert that takes part; None where mergekit's method has none."""
    with_base: bool = True
    """Whether mergekit is given the base model."""
    by_frequency: bool = False
    """Whether the sign is elected by frequency, which mergekit's configurations cannot say."""


THIRDS = [0.5, 0.2, 0.3]
SIGNED = [0.9, -0.4, 0.3]
CASES: dict[str, Case] = {
    "task_arithmetic": Case("task_arithmetic", {}, SIGNED),
    "linear": Case("linear", {}, [1.0, 2.0, 0.5], with_base=False),
    "linear_signed": Case("linear", {}, SIGNED, with_base=False),
    "linear_unnormalized": Case("linear", {"normalize": False}, THIRDS, with_base=False),
    "ties": Case("ties", {"density": 0.5}, THIRDS),
    "ties_dense": Case("ties", {}, THIRDS),
    "ties_lambda": Case("ties", {"density": 0.2, "lambda": 1.5}, THIRDS),
    "ties_sum": Case("ties", {"density": 0.7, "normalize": False}, SIGNED),
    "ties_densities": Case("ties", {"density": [0.2, 0.9, 1.0]}, THIRDS),
    "ties_frequency": Case("ties", {"density": 0.5}, THIRDS, by_frequency=True),
    "dare_linear_dense": Case("dare_linear", {"normalize": True}, THIRDS),
    "dare_ties_dense": Case("dare_ties", {}, SIGNED),
    "della_dense": Case("della", {}, THIRDS),
    "della_linear_dense": Case("della_linear", {"lambda": 0.7}, SIGNED),
    "breadcrumbs": Case("breadcrumbs", {"density": 0.6, "gamma": 0.1}, SIGNED),
    "breadcrumbs_few_outliers": Case("breadcrumbs", {"density": 0.95, "gamma": 0.1}, THIRDS),
    "breadcrumbs_ties": Case("breadcrumbs_ties", {"density": 0.6, "gamma": 0.1}, THIRDS),
    "slerp_third": Case("slerp", {"t": 0.3}, [0.3]),
    "slerp_beyond": Case("slerp", {"t": 1.4}, [1.4]),
    "nuslerp": Case("nuslerp", {}, [1.0, 3.0]),
    "nuslerp_signed": Case("nuslerp", {}, [1.0, -0.3]),
    "nuslerp_columns": Case("nuslerp", {"nuslerp_flatten": False}, [0.4, 0.6]),
    "nuslerp_rows": Case(
        "nuslerp", {"nuslerp_flatten": False, "nuslerp_row_wise": True}, [0.4, 0.6]
    ),
    "multislerp": Case("multislerp", {}, THIRDS),
    "multislerp_signed": Case("multislerp", {}, SIGNED),
    "multislerp_unnormalized": Case("multislerp", {"normalize_weights": False}, [1.0, 0.5, 0.2]),
    "karcher": Case("karcher", {}, None, with_base=False),
    "karcher_short": Case("karcher", {"max_iter": 1}, None, with_base=False),
    "model_stock": Case("model_stock", {}, None),
    "model_stock_filters": Case("model_stock", {"filter_wise": True}, None),
    "sce": Case("sce", {}, None),
    "sce_selected": Case("sce", {"select_topk": 0.3}, None),
}


def mergekits(case: Case, base: Tensor, experts: list[Tensor]) -> Tensor:
    """What mergekit makes of one tensor; expert ``i`` has the id ``i``, the base −1."""
    tensors, ids = list(experts), list(range(len(experts)))
    if case.with_base:
        tensors, ids = [base, *tensors], [-1, *ids]
    parameters = dict(case.parameters)
    if case.weights is not None and case.method != "slerp":
        parameters["weight"] = dict(enumerate(case.weights))
    if isinstance(parameters.get("density"), list):
        parameters["density"] = dict(enumerate(parameters["density"]))
    return merge_tensors(
        tensors,
        TIES_BY_FREQUENCY if case.by_frequency else case.method,
        parameters=parameters,
        ids=ids,
        base_index=0 if case.with_base else None,
        dtype=torch.float32,
    )


def random_models() -> list[Model]:
    """A base and experts of normal weights, as far apart as they are large."""
    draws = torch.Generator().manual_seed(3)
    shapes = {"matrix": (16, 12), "conv": (6, 5, 3, 3), "bias": (20,), "number": (), "one": (1,)}
    base = {name: torch.randn(shape, generator=draws) for name, shape in shapes.items()}
    return [base] + [
        {name: base[name] + torch.randn(shape, generator=draws) for name, shape in shapes.items()}
        for _ in range(EXPERTS)
    ]


def trained_models() -> list[Model]:
    """A network trained on a random regression, and experts finetuned from it on others."""
    torch.manual_seed(5)
    network = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.SiLU(), nn.Flatten(), nn.Linear(96, 8), nn.Tanh(),
        nn.Linear(8, 3),
    )  # fmt: skip
    images, common = torch.randn(128, 2, 4, 4), torch.randn(32, 3)
    start = [weight.clone() for weight in network.state_dict().values()]
    train(network, images, images.flatten(1) @ common, steps=300)
    base = weights_of(network)
    experts = []
    for part in images.split(128 // EXPERTS)[:EXPERTS]:
        network.load_state_dict(base)
        train(network, part, part.flatten(1) @ (common + 0.3 * torch.randn(32, 3)), steps=60)
        experts.append(weights_of(network))
    assert all(bool((a != b).any()) for a, b in zip(start, base.values(), strict=True))
    return [base, *experts]


def train(network: nn.Module, inputs: Tensor, targets: Tensor, steps: int) -> None:
    """Least squares by Adam on all of the data at once."""
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        (network(inputs) - targets).square().mean().backward()
        optimizer.step()


def weights_of(network: nn.Module) -> Model:
    """A copy of the network's weights."""
    return {name: weight.detach().clone() for name, weight in network.state_dict().items()}


def peculiar_tensors() -> dict[str, tuple[Case, Tensor, list[Tensor]]]:
    """Inputs for which ours differ on purpose, and the cases."""
    draws = torch.Generator().manual_seed(7)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws)

    vector, other, conv = normal(6), normal(6), normal(4, 3, 3, 3)
    convs = [conv + normal(4, 3, 3, 3) for _ in range(2)]
    steps = [1e-4 * normal(4, 8) for _ in range(2)]
    return {
        "linear_unnormalized": (
            Case("linear", {"normalize": False}, [0.5, 0.25], with_base=False),
            vector,
            [vector + other, vector - other],
        ),
        "ties_negative": (Case("ties", {}, [-1.0]), vector, [vector + other]),
        "breadcrumbs_of_one": (
            Case("breadcrumbs", {"density": 0.5}, [1.0]),
            vector[:1],
            [other[:1]],
        ),
        "slerp_from_zero": (Case("slerp", {"t": 0.5}, [0.5]), torch.zeros(6), [other]),
        "nuslerp_to_unchanged": (Case("nuslerp", {}, [0.5, 0.5]), vector, [vector + other, vector]),
        "nuslerp_filters": (Case("nuslerp", {"nuslerp_flatten": False}, [0.5, 0.5]), conv, convs),
        "karcher_tiny": (
            Case("karcher", {}, None, with_base=False),
            1e-6 * vector,
            [1e-6 * (vector + other), 1e-6 * (vector - other)],
        ),
        "model_stock_tiny": (
            Case("model_stock", {}, None),
            torch.zeros(4, 8),
            [steps[0], steps[0] + 0.5 * steps[1]],
        ),
        "model_stock_filters": (Case("model_stock", {"filter_wise": True}, None), conv, convs),
        "sce_tiny": (Case("sce", {}, None), torch.zeros(4, 8), [steps[0], 0.2 * steps[1]]),
        "sce_of_one": (Case("sce", {"select_topk": 0.5}, None), vector, [vector + other]),
    }


def main() -> None:
    """Writes the file."""
    tensors: dict[str, Tensor] = {}
    for group, models in (("random", random_models()), ("trained", trained_models())):
        names = ["base", *(f"expert{index}" for index in range(EXPERTS))]
        for model_name, model in zip(names, models, strict=True):
            tensors |= {f"{group}/{model_name}/{name}": model[name] for name in model}
        for case_name, case in CASES.items():
            count = EXPERTS if case.weights is None else len(case.weights)
            for name in models[0]:
                inputs = [model[name] for model in models[1 : count + 1]]
                tensors[f"{group}/{case_name}/{name}"] = mergekits(case, models[0][name], inputs)
    peculiar = peculiar_tensors()
    for case_name, (case, base, experts) in peculiar.items():
        tensors[f"peculiar/{case_name}/base"] = base
        for index, expert in enumerate(experts):
            tensors[f"peculiar/{case_name}/expert{index}"] = expert
        tensors[f"peculiar/{case_name}/merged"] = mergekits(case, base, experts)
    described = {
        "mergekit": importlib.metadata.version("mergekit"),
        "torch": importlib.metadata.version("torch"),
        "cases": {name: case._asdict() for name, case in CASES.items()},
        "peculiar": {name: case._asdict() for name, (case, *_) in peculiar.items()},
    }
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in tensors.items()},
        GOLDEN,
        {"golden": json.dumps(described)},  # one entry: safetensors stores several in any order
    )
    GOLDEN.chmod(0o644)  # safetensors lets only the owner read


if __name__ == "__main__":
    main()
