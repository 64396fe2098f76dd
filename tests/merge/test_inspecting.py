from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from deme.merge.inspection import Inspection, inspect_models, inspecting
from deme.merge.inspection.sums import ElementSums
from deme.merge.inspection.values import inspection_values
from merge.models_in_memory import BLOCKS, SHAPES, Deltas, Weights, model, moved, random_weights

Array = np.ndarray


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspecting, "PIECE", 8)  # most tensors are several pieces, one not full


def dense(
    base: Mapping[str, Tensor], experts: list[dict[str, Tensor]], chosen: Callable[[str], bool]
) -> dict[str, Any]:
    """The same numbers from whole arrays in float64."""
    names = [name for name in base if chosen(name)]

    def flat(tensors: Mapping[str, Tensor]) -> Array:
        return np.concatenate([tensors[name].float().numpy().ravel() for name in names])

    theta = flat(base)
    taus = [flat(expert) - theta for expert in experts]
    pairs = [(i, j) for i in range(len(taus)) for j in range(len(taus))]
    norms = [np.linalg.norm(tau.astype(np.float64)) for tau in taus]
    signs = np.sign(np.stack(taus))
    several = (signs != 0).sum(0) > 1
    return {
        "base_norm": np.linalg.norm(theta.astype(np.float64)),
        "norms": norms,
        "relative_norms": [norm / np.linalg.norm(theta.astype(np.float64)) for norm in norms],
        "changed": [np.mean(tau != 0) for tau in taus],
        "cosines": [
            np.dot(taus[i].astype(np.float64), taus[j].astype(np.float64)) / (norms[i] * norms[j])
            for i, j in pairs
        ],
        "sign_conflicts": [
            np.mean((signs[i] != signs[j])[(signs[i] != 0) & (signs[j] != 0)]) for i, j in pairs
        ],
        "contested": np.mean([len(set(column) - {0}) > 1 for column in signs[:, several].T]),
        "float16": [
            np.mean(((theta + tau).astype(np.float16) != theta.astype(np.float16))[tau != 0])
            for tau in taus
        ],
    }


def agrees(part: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name, value in expected.items():
        found = part["surviving"][name] if name == "float16" else part[name]
        assert np.ravel(found) == pytest.approx(np.ravel(value), rel=1e-6, abs=1e-9), name


def three_experts() -> tuple[dict[str, Tensor], list[dict[str, Tensor]], Inspection]:
    base = random_weights(0)
    experts = [moved(base, seed) for seed in (1, 2, 3)]
    sources = [model(f"e{i}", unet=Weights(expert)) for i, expert in enumerate(experts)]
    return base, experts, inspect_models(model("base", unet=Weights(base)), sources)


def test_numbers_are_those_of_a_direct_computation() -> None:
    base, experts, inspection = three_experts()
    found = inspection_values(inspection)["comparison"]["unet"]
    agrees(found, dense(base, experts, lambda name: True))
    for block in ("down_blocks.0", "mid_block"):
        agrees(found["blocks"][block], dense(base, experts, lambda n, b=block: n.startswith(b)))
    agrees(found["kinds"]["attention"], dense(base, experts, lambda n: "to_q" in n))
    assert found["changed_by"] == [1, 2, 3]
    assert list(found["blocks"]) == BLOCKS
    assert set(found["kinds"]) == {"projection", "attention", "norm", "resnet"}
    assert sum(part["elements"] for part in found["kinds"].values()) == found["elements"]


def test_norms_of_each_model_are_its_own() -> None:
    base, experts, inspection = three_experts()
    for given, facts in zip([base, *experts], inspection_values(inspection)["models"], strict=True):
        component = facts["components"]["unet"]
        for block, norm in component["blocks"].items():
            own = [t.double().square().sum() for n, t in given.items() if n.startswith(block)]
            assert norm == pytest.approx(float(sum(own)) ** 0.5, rel=1e-6)
        assert component["tensors"] == len(SHAPES)
        assert component["parameters"] == sum(t.numel() for t in given.values())
        assert component["bytes"] == 4 * component["parameters"]
        assert component["dtypes"] == {"float32": len(SHAPES)}
        assert (component["nan"], component["inf"]) == (0, 0)


def test_bfloat16_export_is_torchs_own_rounding() -> None:
    base, experts, inspection = three_experts()
    kept = changed = 0
    for name, theta in base.items():
        tau = experts[0][name] - theta
        kept += int(((theta + tau).bfloat16() != theta.bfloat16())[tau != 0].sum())
        changed += int((tau != 0).sum())
    survived = inspection.components["unet"].whole.surviving["bfloat16"][0]
    assert survived == pytest.approx(kept / changed) and 0 < survived < 1


def test_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    small = three_experts()[2].components["unet"].whole
    monkeypatch.setattr(inspecting, "PIECE", 1000)
    large = three_experts()[2].components["unet"].whole
    assert torch.equal(small.both, large.both) and torch.equal(small.opposed, large.opposed)
    assert (small.shared, small.contested) == (large.shared, large.contested)
    assert torch.allclose(small.gram, large.gram, rtol=1e-12)


def test_a_half_precision_expert_is_compared_with_the_rounded_base() -> None:
    base = random_weights(0)
    name = "conv_in.weight"
    half = {key: tensor.half() for key, tensor in base.items()}
    half[name][0] += 1
    found = inspect_models(model("b", unet=Weights(base)), [model("e", unet=Weights(half))])
    whole = found.components["unet"].whole
    assert whole.changed == [half[name][0].numel() / whole.elements]
    assert whole.norms[0] == pytest.approx(half[name][0].numel() ** 0.5, rel=1e-3)
    assert found.experts[0].components["unet"].dtypes == {"float16": len(SHAPES)}


def test_an_adapter_is_a_difference() -> None:
    base = random_weights(0)
    name = "down_blocks.0.attentions.0.to_q.weight"
    delta = {name: random_weights(7)[name]}
    full = {**base, name: base[name] + delta[name]}
    experts = [model("lora", unet=Deltas(delta)), model("full", unet=Weights(full))]
    found = inspect_models(model("b", unet=Weights(base)), experts)
    sums = found.components["unet"]
    assert sums.whole.cosines[0][1] == pytest.approx(1)
    assert sums.whole.norms == pytest.approx([float(delta[name].norm())] * 2)
    assert sums.blocks["mid_block"].norms == [0, 0]
    assert found.experts[0].components["unet"].tensors == 1


def test_what_is_not_finite_is_counted_and_left_out() -> None:
    base = random_weights(0)
    broken = {name: tensor + 0.5 for name, tensor in base.items()}
    broken["conv_in.weight"][0, 0, 0] = torch.tensor([float("nan"), float("inf"), 0.0])
    other = {name: tensor - 0.5 for name, tensor in base.items()}
    base["mid_block.resnets.0.conv1.weight"][1, 1] = float("-inf")
    experts = [model("broken", unet=Weights(broken)), model("other", unet=Weights(other))]
    found = inspect_models(model("b", unet=Weights(base)), experts)
    bad = [(facts.components["unet"].nan, facts.components["unet"].inf) for facts in found.experts]
    assert bad == [(1, 1), (0, 0)]
    assert (found.base.components["unet"].nan, found.base.components["unet"].inf) == (0, 1)
    whole = found.components["unet"].whole
    assert whole.norms[1] == pytest.approx(0.5 * (whole.elements - 3) ** 0.5)
    json.dumps(inspection_values(found), allow_nan=False)


def test_components_that_nobody_changed_are_not_compared() -> None:
    base, text = random_weights(0), {"layers.0.mlp.fc1.weight": torch.ones(3, 3)}
    first = model("base", unet=Weights(base), text_encoder=Weights(text))
    same = {**text}
    experts = [
        model("a", unet=Weights(moved(base, 1)), text_encoder=Weights(same)),
        model("b", text_encoder=Weights({n: t + 1 for n, t in text.items()})),
    ]
    found = inspect_models(first, experts)
    assert found.components["unet"].changed_by == (0,)
    assert found.components["text_encoder"].changed_by == (1,)
    values = inspection_values(found)
    assert values["models"][1]["components"]["text_encoder"]["norm"] == 3
    assert values["models"][2]["components"]["text_encoder"]["norm"] == 6
    assert "unet" not in values["models"][2]["components"]


def test_projections_that_only_experts_have_differ_from_the_identity() -> None:
    base = random_weights(0)
    offset = {"channel_projections.mid_block.offset": torch.full((2, 2), 0.5)}
    expert = model("e", unet=Weights(base), channel_projections=Weights(offset))
    found = inspect_models(model("b", unet=Weights(base)), [expert])
    whole = found.components["channel_projections"].whole
    assert whole.norms == [1.0] and whole.relative_norms == [None]
    assert found.components["unet"].changed_by == ()


def test_whole_numbers_are_no_weights() -> None:
    base = {"embeddings.position_ids": torch.arange(5), "layers.0.fc.weight": torch.ones(2, 2)}
    facts = inspect_models(model("b", text_encoder=Weights(base)))
    assert facts.base.components["text_encoder"].parameters == 9
    assert facts.components["text_encoder"].whole.elements == 4


def test_progress_counts_all_elements() -> None:
    told: list[int] = []
    base = random_weights(0)
    inspect_models(model("b", unet=Weights(base)), progress=told.append)
    assert told[-1] == sum(tensor.numel() for tensor in base.values())
    assert all(before < after for before, after in pairwise(told))


def test_a_task_vector_of_zero_has_no_direction() -> None:
    sums = ElementSums(2)
    sums.add_piece(torch.ones(4), torch.stack([torch.zeros(4), torch.ones(4)]))
    assert sums.cosines == [[0, 0], [0, 1]]
    assert sums.sign_conflicts == [[0, 0], [0, 0]]
    assert sums.surviving["float16"] == [1.0, 1.0]
