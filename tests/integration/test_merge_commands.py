"""The commands around a merge, on the experts of a finished run, as a user types them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file

from deme.merge import read_recipe
from deme.runs import RunContext

Deme = Callable[..., tuple[int, str, str]]
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def experts(finished: RunContext) -> list[str]:
    return [str(finished.expert_folder(expert)) for expert in finished.experts]


def test_merge_dry_run_from_and_unmerge(deme: Deme, experts: list[str], tmp_path: Path) -> None:
    words = ["merge", "digits", *experts]
    for index in range(len(experts)):
        words += ["-w", f"0.{index + 1},norm={'0' if index == 0 else '0.5'}"]
    code, out, _ = deme(*words, "--dry-run")
    assert code == 0
    assert "norm=0,0.1" in out and "t in [0, " in out and "102 tensors" in out
    code, out, _ = deme(*words, "--dry-run", "--json")
    tensors = json.loads(out)["components"]["unet"]["tensors"]
    assert tensors["conv_in.weight"]["weights"][0] == 0.1
    assert tensors["conv_norm_out.weight"]["weights"][0] == 0
    assert not list(tmp_path.iterdir())
    code, out, _ = deme(*words)
    assert (code, out) == (0, "merged\n")
    assert DiffusionPipeline.from_pretrained("merged").unet is not None
    assert deme("merge", "--from", "merged", "-o", "again")[0] == 0
    first, again = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("merged", "again"))
    assert first == again
    code, _, err = deme("unmerge", "merged", "--expert", "1", "-o", "back")
    assert code == 0, err
    lost, found = load_file(Path(experts[1]) / WEIGHTS), load_file(tmp_path / "back" / WEIGHTS)
    for name, tensor in lost.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=2e-6)
    code, _, err = deme("unmerge", "merged", "--expert", "0", "-o", "gone")
    assert code == 2 and "conv_norm_out.bias is 0: it left no trace" in err
    assert not (tmp_path / "gone").exists()


def test_a_base_among_its_experts_is_said(deme: Deme, experts: list[str]) -> None:
    code, _, err = deme("merge", "digits", experts[0], "digits")
    assert code == 0 and "digits is the base itself" in err


def test_a_run_is_a_merge_that_can_be_repeated(
    deme: Deme, finished: RunContext, tmp_path: Path
) -> None:
    merged = finished.store.path / "merged"
    recipe, _ = read_recipe(merged)
    assert [source.model for source in recipe.models] == [
        f"../experts/{expert.name}" for expert in finished.experts
    ]
    assert deme("merge", "--from", str(merged), "-o", "again")[0] == 0
    assert (merged / WEIGHTS).read_bytes() == (tmp_path / "again" / WEIGHTS).read_bytes()


def test_inspect_compress_and_statistics(deme: Deme, experts: list[str], tmp_path: Path) -> None:
    code, out, _ = deme("inspect", "digits", *experts, "--json")
    assert code == 0 and json.loads(out)
    assert deme("compress", "digits", experts[0], "-o", "small.safetensors")[0] == 0
    assert deme("compress", "digits", "small.safetensors", "--expand", "-o", "large")[0] == 0
    lost, found = load_file(Path(experts[0]) / WEIGHTS), load_file(tmp_path / "large" / WEIGHTS)
    assert all(torch.equal(found[name], tensor) for name, tensor in lost.items())
    recipe = ["merge_method: fisher", "base_model: digits", "models:"]
    for index, expert in enumerate(experts):
        file = f"fisher{index}.safetensors"
        words = ("--kind", "fisher", "--data", "digits", "--samples", "4", "-o", file)
        assert deme("statistics", expert, *words)[0] == 0
        recipe += [f"  - model: {expert}", f"    statistics: {file}"]
    (tmp_path / "recipe.yaml").write_text("\n".join(recipe))
    code, _, err = deme("merge", "recipe.yaml")
    assert code == 0, err
    swapped = "\n".join(recipe).replace("fisher0.", "x.").replace("fisher1.", "fisher0.")
    (tmp_path / "recipe.yaml").write_text(swapped.replace("x.", "fisher1."))
    code, _, err = deme("merge", "recipe.yaml", "-o", "other")
    assert code == 1 and "collect the statistics at the timesteps" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["merge"], 2, "needs a base and at least one expert"),
        (["merge", "digits", "./nothing"], 1, "There is no ./nothing here"),
        (["merge", "nothing.yaml"], 2, "there is no such file"),
        (["merge", "digits", "E", "-w", "1", "-w", "2"], 2, "give -w once for each expert"),
        (["merge", "digits", "E", "-m", "tie"], 2, "Did you mean 'ties'?"),
        (["merge", "digits", "E", "-m", "ties", "-p", "densty=1"], 2, "Did you mean 'density'?"),
        (["merge", "digits", "E", "-p", "density"], 2, "is not NAME=VALUE"),
        (["merge", "digits", "E", "-w", "atention=1,0"], 2, "atention"),
        (["merge", "digits", "digits"], 1, "No expert differs from the base"),
        (["merge", "digits", "E", "--json"], 2, "--json goes with --dry-run"),
        (["merge", "--from", "x", "-w", "1"], 2, "A recipe says all of it"),
        (["unmerge", "nothing", "-e", "0", "-o", "x"], 2, "No recipe at nothing"),
    ],
)
def test_mistakes_are_told_in_one_message(
    deme: Deme, experts: list[str], tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    found, out, err = deme(*(experts[0] if word == "E" else word for word in words))
    assert found == code, err
    assert message in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err and not out
    assert not list(tmp_path.iterdir())
