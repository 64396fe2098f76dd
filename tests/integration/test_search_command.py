"""``deme search`` on experts that somebody else trained: three LoRA files and a base."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from deme.denoisers import load_denoiser
from deme.files import read_json
from deme.runs import RunContext, RunStore, load_spec, run_job
from deme.runs.progress import Reporter
from integration.lora_workshop import RANGES, Workshop, make_workshop

Deme = Callable[..., tuple[int, str, str]]
QUICK = (
    *("--images", "24", "--sampler-steps", "2", "--strategy", "grid", "--bounds", "-1:1"),
    *("--set", "search.levels=2", "--set", "search.refinements=0"),
    *("--set", "evaluate.images=24", "--set", "evaluate.seeds=[1, 2]"),
    *("--set", "evaluate.validation_images=8", "--set", "evaluate.metrics=[frechet]"),
    *("--set", "runtime.threads=1", "--quiet"),
)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return make_workshop(tmp_path_factory.mktemp("workshop"))


def context_from(run: Path) -> RunContext:
    """The run again, from the specification that it wrote into its folder."""
    spec = load_spec(str(run / "spec.yaml"))
    context = RunContext(spec, RunStore(run.parent, spec), Reporter(quiet=True))
    assert context.store.path == run
    return context


def test_three_loras_and_a_base_become_a_pipeline_and_a_report(
    deme: Deme, workshop: Workshop, tmp_path: Path
) -> None:
    words = [*workshop.words(**RANGES), "--detector", "digits", *QUICK, "-o", str(tmp_path)]
    code, out, err = deme(*words)
    assert code == 0, err
    (run,) = tmp_path.glob("base-*")
    assert f"merged pipeline: {run / 'merged'}" in out
    assert f"report:          {run / 'report.html'}" in out
    assert "<html" in (run / "report.html").read_text("utf-8")
    assert (run / "merged" / "README.md").read_text("utf-8").startswith("---\n")
    assert {*read_json(run / "metrics.json")["arms"]} == {
        *("pretrained", "routed", "uniform", "merged")
    }

    result = read_json(run / "search" / "result.json")
    assert result["experts"] == ["a", "b", "c"]
    base = load_denoiser(str(workshop.base)).weights()
    stock = diffusers.DDPMPipeline.from_pretrained(run / "merged").unet.state_dict()
    for name, tensor in stock.items():
        expected = base[name].double()
        for expert, weight in zip(result["experts"], result["weights"], strict=True):
            expected = expected + weight * (workshop.merged[expert][name] - base[name]).double()
        assert torch.allclose(tensor.double(), expected, atol=1e-6), name


def test_overlapping_ranges_leave_the_routed_arm_out_and_say_so(
    deme: Deme, workshop: Workshop, tmp_path: Path
) -> None:
    words = [*workshop.words(a=(0, 600), b=(400, 900)), "--detector", "digits", *QUICK]
    code, _, err = deme(*[word for word in words if word != "--quiet"], "-o", str(tmp_path))
    assert code == 0, err
    assert "routed experts are left out" in " ".join(err.split())
    assert "detector: digits" in err and "experts: a [0, 600), b [400, 900)" in err
    (run,) = tmp_path.glob("base-*")
    assert {*read_json(run / "metrics.json")["arms"]} == {"pretrained", "uniform", "merged"}
    ranges = read_json(run / "validation.json")["ranges"]
    assert ranges == [[0, 400], [400, 600], [600, 900], [900, 1000]]


def test_without_evaluation_there_are_weights_and_a_report_all_the_same(
    deme: Deme, workshop: Workshop, tmp_path: Path
) -> None:
    words = [*workshop.words(a=(0, 500)), "--detector", "digits", "--no-evaluate", *QUICK]
    code, out, err = deme(*words, "-o", str(tmp_path))
    assert code == 0, err
    (run,) = tmp_path.glob("base-*")
    assert (run / "report.html").is_file() and (run / "merged" / "unet").is_dir()
    assert not (run / "metrics.json").exists() and "merged pipeline:" in out

    weights = run / "merged" / "unet" / "diffusion_pytorch_model.safetensors"
    written = weights.stat().st_mtime_ns
    run_job(context_from(run), ["experts", "search", "merge"])  # finds everything done
    assert weights.stat().st_mtime_ns == written


# what is wrong is said before anything is started


def test_dry_run_says_what_it_would_cost_and_writes_no_run(
    deme: Deme, workshop: Workshop, tmp_path: Path
) -> None:
    words = [*workshop.words(**RANGES), "--detector", "digits", *QUICK, "-o", str(tmp_path)]
    code, out, err = deme(*words, "--dry-run")
    assert code == 0, err
    assert "search time" in out and not list(tmp_path.glob("base-*"))


@pytest.mark.parametrize(
    ("expert", "code", "words"),
    [
        ("a.safetensors=0:1200", 2, ("[0, 1200)", "1000", "Fix:")),
        ("a.safetensors=400:400", 2, ("a.safetensors=400:400", "LOW < HIGH")),
        ("a.safetensors=0-400", 2, ("PATH=LOW:HIGH",)),
        ("aa.safetensors=0:400", 2, ("no expert aa.safetensors", "Did you mean", "a.safetensors")),
        ("other.safetensors=0:400", 1, ("other.safetensors", "does not fit")),
        ("same=0:400", 1, ("leaves", "as it is")),
        ("poisoned.safetensors=0:400", 1, ("not finite",)),
    ],
)
def test_an_expert_that_cannot_be_taken(
    deme: Deme,
    workshop: Workshop,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    expert: str,
    code: int,
    words: tuple[str, ...],
) -> None:
    shutil.copy(workshop.lora("a"), tmp_path)
    shutil.copytree(workshop.base, tmp_path / "same")
    own = load_file(workshop.lora("a"))
    first = next(iter(own))
    save_file(
        own | {first: torch.full_like(own[first], torch.nan)}, tmp_path / "poisoned.safetensors"
    )
    wide = {name: torch.cat([tensor] * 3, dim=1) for name, tensor in own.items()}
    save_file(wide, tmp_path / "other.safetensors")
    monkeypatch.chdir(tmp_path)
    options = ("--data", str(workshop.folder / "images"), "--detector", "digits", *QUICK)
    options = (*options, "-o", str(tmp_path / "runs"))
    got, _, err = deme("search", workshop.base, "--expert", expert, *options)
    assert got == code, err
    assert all(word in " ".join(err.split()) for word in words), err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("runs/*/experts"))


def test_a_base_without_experts_says_both_possibilities(deme: Deme, workshop: Workshop) -> None:
    code, _, err = deme("search", workshop.base, "--data", "images")
    assert code == 2 and "YAML file" in err and "--expert" in err


def test_experts_without_images_say_what_to_give(deme: Deme, workshop: Workshop) -> None:
    code, _, err = deme("search", workshop.base, "--expert", workshop.lora("a"))
    assert code == 2 and "--data" in err


def test_the_command_line_stays_light() -> None:
    heavy = "{'torch', 'diffusers', 'pydantic', 'optuna'} & {*sys.modules}"
    script = f"import sys, deme.cli.search; sys.exit(repr({heavy}) if {heavy} else 0)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
