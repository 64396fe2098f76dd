from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from deme.denoisers import Denoiser
from deme.errors import ConfigError, MismatchError
from deme.merge import MergeRecipe, MergeSource, plan_merge, write_merge
from deme.merge.unmerge_job import unmerge

MakeExpert = Callable[[str, int], Path]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def merge(base: Denoiser, tmp_path: Path, weights: list[Any], **more: Any) -> Path:
    models = [
        MergeSource(model=str(tmp_path / f"e{i}"), parameters={"weight": weight})
        for i, weight in enumerate(weights)
    ]
    recipe = MergeRecipe(base_model=base.name, models=models, **more)
    write_merge(plan_merge(recipe, Path()), tmp_path / "merged", origin=Path())
    return tmp_path / "merged"


@pytest.fixture
def experts(make_expert: MakeExpert) -> list[Path]:
    return [make_expert(f"e{i}", i) for i in range(3)]


@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize("method", ["task_arithmetic", "linear"])
def test_the_expert_comes_back(
    base: Denoiser, experts: list[Path], tmp_path: Path, taken: int, method: str
) -> None:
    merged = merge(base, tmp_path, [0.25, -1.5, 0.75], merge_method=method)
    (tmp_path / f"e{taken}").rename(tmp_path / "lost")
    unmerge(merged, str(taken), tmp_path / "back")
    found, lost = (load_file(tmp_path / f / WEIGHTS) for f in ("back", "lost"))
    assert found.keys() == lost.keys()
    for name, tensor in lost.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)
    DiffusionPipeline.from_pretrained(tmp_path / "back")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_an_expert_in_half_precision_comes_back_in_half_precision(
    base: Denoiser, experts: list[Path], tmp_path: Path, dtype: torch.dtype
) -> None:
    halved = {n: t.to(dtype) for n, t in load_file(tmp_path / "e0" / WEIGHTS).items()}
    save_file(halved, tmp_path / "e0" / WEIGHTS)
    unmerge(merge(base, tmp_path, [0.5, 0.25]), "0", tmp_path / "back")
    found = load_file(tmp_path / "back" / WEIGHTS)
    assert found.keys() == halved.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in halved.items())


def test_a_file_comes_back_as_a_file(base: Denoiser, experts: list[Path], tmp_path: Path) -> None:
    models = [
        MergeSource(model=str(tmp_path / f"e{i}" / WEIGHTS), parameters={"weight": 0.5})
        for i in range(2)
    ]
    recipe = MergeRecipe(base_model=str(Path(base.name) / WEIGHTS), models=models)
    merged = tmp_path / "merged.safetensors"
    write_merge(plan_merge(recipe, Path()), merged, origin=Path())
    with pytest.raises(ConfigError, match=r"Fix: --output .*back\.safetensors"):
        unmerge(merged, "1", tmp_path / "back")
    unmerge(merged, "1", tmp_path / "back.safetensors")
    found, lost = load_file(tmp_path / "back.safetensors"), load_file(tmp_path / "e1" / WEIGHTS)
    for name, tensor in lost.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_weights_by_block_are_undone_block_by_block(
    base: Denoiser, experts: list[Path], tmp_path: Path
) -> None:
    rules = [{"block": "down", "value": 0.5}, {"value": [-1.0, -0.5]}]
    merged = merge(base, tmp_path, [rules, 1.0, 0.3])
    unmerge(merged, "e0", tmp_path / "back")
    found, lost = (load_file(tmp_path / f / WEIGHTS) for f in ("back", "e0"))
    for name, tensor in lost.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_the_only_expert_comes_back(base: Denoiser, experts: list[Path], tmp_path: Path) -> None:
    unmerge(merge(base, tmp_path, [0.5]), "0", tmp_path / "back")
    found, lost = (load_file(tmp_path / f / WEIGHTS) for f in ("back", "e0"))
    for name, tensor in lost.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_an_unknown_expert_is_named_with_the_choices(
    base: Denoiser, experts: list[Path], tmp_path: Path
) -> None:
    merged = merge(base, tmp_path, [0.5, 0.5])
    for wrong in ("2", "e9"):
        with pytest.raises(ConfigError, match=rf"no expert '{wrong}'.*Choices: 0 \(.*e0\), 1 \("):
            unmerge(merged, wrong, tmp_path / "back")


def test_an_expert_that_left_no_trace_does_not_come_back(
    base: Denoiser, experts: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="left no trace"):
        unmerge(merge(base, tmp_path, [0.0, 0.5]), "0", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_method_that_forgets_is_refused(
    base: Denoiser, experts: list[Path], tmp_path: Path
) -> None:
    merged = merge(base, tmp_path, [0.5, 0.5], merge_method="ties")
    with pytest.raises(ConfigError, match="ties cannot be undone"):
        unmerge(merged, "0", tmp_path / "back")


@pytest.mark.parametrize("changed", ["base", "e1"])
def test_other_models_than_those_that_were_merged_are_refused(
    base: Denoiser, experts: list[Path], tmp_path: Path, changed: str
) -> None:
    merged = merge(base, tmp_path, [0.5, 0.5])
    weights = load_file(tmp_path / changed / WEIGHTS)
    weights["conv_in.bias"][0] += 1e-6
    save_file(weights, tmp_path / changed / WEIGHTS)
    with pytest.raises(MismatchError, match=f"{changed} is not the one that the recipe names"):
        unmerge(merged, "0", tmp_path / "back")


def test_what_exists_is_left_alone(base: Denoiser, experts: list[Path], tmp_path: Path) -> None:
    merged = merge(base, tmp_path, [0.5, 0.5])
    with pytest.raises(ConfigError, match="e0 exists"):
        unmerge(merged, "0", tmp_path / "e0")
