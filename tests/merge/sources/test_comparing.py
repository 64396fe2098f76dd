from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from deme.merge.sources import comparing
from deme.merge.sources.comparing import differing_components
from deme.merge.sources.contract import ModelSource, TensorInfo, WeightSource
from deme.merge.sources.opening import open_expert, open_model
from merge.sources.conftest import Saved
from merge.sources.tiny_adapters import kohya_adapter

MakeSaved = Callable[..., Saved]


class Counted(WeightSource):
    """Tensors in memory that count how many of them were read."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.tensors, self.reads, self.origin = tensors, 0, "memory"
        self.layout = {n: TensorInfo(tuple(t.shape), t.dtype) for n, t in tensors.items()}

    def read(self, name: str) -> Tensor:
        self.reads += 1
        return self.tensors[name]


def model(source: WeightSource) -> ModelSource:
    return ModelSource("memory", {"unet": source}, None, "file")


def differ(base: dict[str, Tensor], expert: dict[str, Tensor]) -> bool:
    return differing_components(model(Counted(base)), model(Counted(expert))) == ("unet",)


def test_what_was_not_trained_is_found_equal(saved: MakeSaved, tmp_path: Path) -> None:
    base = open_model(saved("1").folder)
    folder = tmp_path / "expert"
    shutil.copytree(saved("1").folder, folder)
    assert differing_components(base, open_expert(folder, base)) == ()
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    state = load_file(file)
    state["time_embedding.linear_2.weight"][3, 5] += 1e-6
    save_file(state, file)
    assert differing_components(base, open_expert(folder, base)) == ("unet",)


def test_the_same_weights_in_other_names_are_equal(saved: MakeSaved) -> None:
    for family in ("1", "2", "xl"):
        for base, expert in (("folder", "file"), ("file", "folder")):
            opened = open_model(getattr(saved(family), base))
            found = open_expert(getattr(saved(family), expert), opened)
            assert differing_components(opened, found) == ()


@pytest.mark.parametrize("link", [os.link, os.symlink])
def test_the_same_file_is_not_read(
    saved: MakeSaved, tmp_path: Path, link: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in saved("1").folder.rglob("*"):
        if file.is_file():
            target = tmp_path / "expert" / file.relative_to(saved("1").folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            link(file, target)
    base = open_model(saved("1").folder)
    expert = open_expert(tmp_path / "expert", base)
    monkeypatch.setattr(comparing, "same_weights", lambda *given: pytest.fail("it was read"))
    assert differing_components(base, expert) == ()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_rounded_expert_equals_the_rounded_base(dtype: torch.dtype) -> None:
    theta = torch.randn(3000)
    assert not differ({"w": theta}, {"w": theta.to(dtype)})
    changed = theta.to(dtype)
    changed[-1] *= 2
    assert differ({"w": theta}, {"w": changed})


def test_a_wider_expert_is_equal_where_the_base_is_its_rounding() -> None:
    """An expert's untouched text encoder in float32 is no change of a base in half precision."""
    theta = torch.randn(100)
    assert not differ({"w": theta.half()}, {"w": theta})
    changed = theta.clone()
    changed[7] *= 1.01
    assert differ({"w": theta.half()}, {"w": changed})


def test_blocks_reach_the_last_element(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "BLOCK", 64)
    theta = torch.randn(7, 31)
    for index in (0, 63, 64, 216):
        changed = theta.half()
        changed.view(-1)[index] += 1
        assert differ({"w": theta}, {"w": changed})
    assert not differ({"w": theta}, {"w": theta.half()})


def test_values_that_are_no_numbers_are_a_difference() -> None:
    """So that the merge looks at them, and refuses them."""
    assert differ({"w": torch.tensor([1.0, torch.nan])}, {"w": torch.tensor([1.0, torch.nan])})


def test_the_first_difference_ends_the_comparison() -> None:
    state = {f"{i}": torch.ones(2) for i in range(10)}
    expert = Counted({name: tensor + (name == "3") for name, tensor in state.items()})
    assert differing_components(model(Counted(state)), model(expert)) == ("unet",)
    assert expert.reads == 4


def test_adapters_and_components_of_the_experts_own_always_differ(
    saved: MakeSaved, tmp_path: Path
) -> None:
    kohya_adapter("1", tmp_path / "lora.safetensors")
    base = open_model(saved("1").folder)
    expert = open_expert(tmp_path / "lora.safetensors", base)
    assert differing_components(base, expert) == ("text_encoder", "unet")
    own = ModelSource("memory", {"channel_projections": Counted({})}, None, "file")
    assert differing_components(base, own) == ("channel_projections",)
