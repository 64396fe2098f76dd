"""The command line: results on stdout, one clear message and an exit code on errors."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from deme.assets import DIGITS_PIPELINE
from deme.files import read_json
from deme.merge import read_weights
from deme.runs import RunContext
from integration.tiny_run import arguments, context_of, deme_process

Deme = Callable[..., tuple[int, str, str]]


def test_help_teaches(deme: Deme) -> None:
    code, out, _ = deme("--help")
    assert code == 0
    for verb in ("run", "decouple", "merge", "search", "sample", "evaluate", "report", "init"):
        assert verb in out
    code, out, _ = deme("run", "--help")
    assert code == 0 and "resumes" in out


def test_init_writes_a_configuration_that_is_valid(deme: Deme, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    assert deme("init", str(path))[0] == 0
    from deme.runs import load_spec

    spec = load_spec(str(path))
    assert spec.decouple.steps == 20_000 and spec.name == "run"
    code, _, err = deme("init", str(path))
    assert code == 2 and "exists" in err


def test_dry_run_plans_and_writes_no_run(deme: Deme, tmp_path: Path) -> None:
    words = ("run", "digits", "-o", str(tmp_path), "--dry-run", "--quiet", *arguments())
    code, out, _ = deme(*words)
    assert code == 0
    for word in ("training time", "search time", "disk", "memory", "total time"):
        assert word in out
    assert not list(tmp_path.glob("digits-*"))


def test_sample_writes_one_image_per_seed(deme: Deme, tmp_path: Path) -> None:
    words = ("--steps", "3", "--quiet", "--seed", "5")
    one, many = tmp_path / "one", tmp_path / "many"
    assert deme("sample", "digits", "--images", "3", "-o", str(one), *words)[0] == 0
    options = ("--images", "5", "--batch-size", "2", "-o", str(many))
    assert deme("sample", "digits", *options, *words)[0] == 0
    assert len(list(many.glob("0*.png"))) == 5 and (many / "grid.png").is_file()
    for index in range(3):
        first = torch.tensor(list(Image.open(one / f"{index:06d}.png").tobytes()))
        second = torch.tensor(list(Image.open(many / f"{index:06d}.png").tobytes()))
        assert int((first - second).abs().max()) <= 1


def test_merge_of_given_experts(deme: Deme, finished: RunContext, tmp_path: Path) -> None:
    experts = [str(finished.expert_folder(expert)) for expert in finished.experts[:2]]
    output = tmp_path / "merged"
    code, _, err = deme("merge", "digits", *experts, "-w", "1", "-w", "0", "-o", str(output))
    assert code == 0, err
    first, merged = read_weights(Path(experts[0])), read_weights(output)
    assert all(torch.allclose(merged[name], first[name], atol=1e-6) for name in merged)
    code, _, err = deme("merge", "digits", *experts, "-o", str(output))
    assert code == 2 and "exists" in err
    code, _, err = deme("merge", "digits", experts[0], experts[0], "-o", str(tmp_path / "x"))
    assert code == 2 and "twice" in err


def test_evaluate_any_pipeline(deme: Deme, finished: RunContext) -> None:
    output = str(finished.store.path.parent)
    merged = str(finished.store.path / "merged")
    words = ("evaluate", "digits", "--model", merged, "-o", output, "--quiet", *arguments())
    code, out, err = deme(*words)
    assert code == 0, err
    expected = read_json(finished.store.path / "metrics.json")["arms"]["merged"]["metrics"]
    assert f"{expected['digits']['frechet']['mean']:.4g}" in out


def test_report_of_a_finished_run(deme: Deme, finished: RunContext, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished.store.path, copy)
    code, out, err = deme("report", str(copy))
    assert code == 0, err
    html = Path(out.strip().splitlines()[-1]).read_text("utf-8")
    assert "<html" in html and "http-equiv" not in html and 'src="http' not in html
    assert (copy / "merged" / "README.md").read_text("utf-8").startswith("---\n")
    code, _, err = deme("report", str(tmp_path))
    assert code == 2 and "spec.yaml" in err


def test_doctor(deme: Deme) -> None:
    code, out, _ = deme("doctor")
    assert code == 0 and torch.__version__ in out and "bundled default" in out


# bad input: one clear message, an exit code, nothing lost


def run_words(output: Path, *overrides: str) -> tuple[str, ...]:
    return ("run", "digits", "-o", str(output), "--quiet", *arguments(*overrides))


@pytest.mark.parametrize(
    ("override", "code", "words"),
    [
        ("decouple.stepz=5", 2, ("decouple.stepz", "Did you mean 'steps'")),
        ("decouple.projection=foldabel", 2, ("decouple.projection", "Did you mean 'foldable'")),
        ("decouple.p=1.5", 2, ("decouple.p", "1.5")),
        ("decouple.ranges=[[0, 300], [250, 1000]]", 2, ("overlap", "[250, 1000)")),
        ("decouple.ranges=[[0, 200], [250, 1000]]", 2, ("gap", "[200, 250)")),
        ("decouple.ranges=[[0, 200], [200, 900]]", 2, ("end at 900", "1000")),
        ("search.seed=2", 2, ("search.seed 2", "never saw")),
        ("model=no/such-folder", 1, ("no/such-folder", "Fix:")),
        ("data.dataset=./nothing-here", 1, ("nothing-here", "Fix:")),
        ("detector=nothing.pt", 2, ("nothing.pt", "digits")),
        ("evaluate.metrics=[frechet, fidd]", 2, ("fidd", "frechet")),
        ("decouple.learning_rate=1.0e30", 1, ("not a finite number", "step", "learning_rate")),
        ("runtime.report_to=[tensorbord]", 2, ("Did you mean 'tensorboard'",)),
    ],
)
def test_wrong_values(
    deme: Deme, tmp_path: Path, override: str, code: int, words: tuple[str, ...]
) -> None:
    got, _, err = deme(*run_words(tmp_path, override))
    assert got == code, err
    assert all(word in err for word in words), err
    assert "Traceback" not in err


def test_a_folder_that_is_no_pipeline(deme: Deme, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    code, _, err = deme(*run_words(tmp_path, f"model={tmp_path / 'model'}"))
    assert code == 1 and "model_index.json" in err


def test_a_model_whose_weights_are_a_pickle_of_code(deme: Deme, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(DIGITS_PIPELINE, model)
    (model / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    touched = tmp_path / "executed"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(touched),)

    with (model / "unet" / "diffusion_pytorch_model.bin").open("wb") as file:
        pickle.dump({"weight": Attack()}, file)
    code, _, err = deme(*run_words(tmp_path, f"model={model}"))
    assert code == 1 and "cannot be loaded" in err
    assert not touched.exists()


def external(finished: RunContext, replaced: Path) -> str:
    entries = [
        {
            "path": str(finished.expert_folder(expert) if index else replaced),
            "min_timestep": expert.timesteps.low,
            "max_timestep": expert.timesteps.high,
        }
        for index, expert in enumerate(finished.experts)
    ]
    return f"experts={json.dumps(entries)}"


def test_an_expert_of_another_architecture(
    deme: Deme, finished: RunContext, tmp_path: Path
) -> None:
    weights = dict(read_weights(DIGITS_PIPELINE))
    name = next(iter(weights))
    weights[name] = torch.zeros(3, 3)
    weights["extra.weight"] = torch.zeros(1)
    save_file(weights, tmp_path / "other.safetensors")
    overrides = external(finished, tmp_path / "other.safetensors")
    code, _, err = deme(*run_words(tmp_path, overrides))
    assert code == 1 and name in err and "extra.weight" in err and "shape" in err


def test_an_expert_that_is_truncated(deme: Deme, finished: RunContext, tmp_path: Path) -> None:
    whole = (DIGITS_PIPELINE / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    overrides = external(finished, tmp_path / "cut.safetensors")
    code, _, err = deme(*run_words(tmp_path, overrides))
    assert code == 1 and "truncated" in err


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images(deme: Deme, tmp_path: Path, count: int) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for index in range(count):
        Image.new("L", (8, 8), index).save(images / f"{index}.png")
    code, _, err = deme(*run_words(tmp_path, f"data.dataset={images}"))
    assert code == 1 and "images" in err and "Fix:" in err


def test_a_second_process_on_the_same_run(deme: Deme, tmp_path: Path) -> None:
    context = context_of(tmp_path)
    context.store.prepare()
    with context.store.lock():
        code, _, err = deme(*run_words(tmp_path))
    assert code == 1 and "Another process" in err and str(os.getpid()) in err


def test_a_truncated_checkpoint(deme: Deme, tmp_path: Path) -> None:
    from deme.runs.stages.train import train_experts

    context = context_of(tmp_path)
    context.store.prepare()
    train_experts(context, [0])
    work = context.store.path / "work" / "experts" / "t0000-0250" / "checkpoints"
    checkpoint = sorted(work.glob("step-*"))[-1]
    save_file(load_file(checkpoint / "ema.safetensors"), checkpoint / "optimizer.safetensors")
    shutil.rmtree(context.store.path / "experts" / "t0000-0250")
    code, _, err = deme(*run_words(tmp_path))
    assert code == 1 and "truncated or altered" in err and "Fix: delete" in err


def test_an_output_that_cannot_be_written(deme: Deme, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, _, err = deme(*run_words(tmp_path / "file"))
    assert code == 1 and "Cannot write" in err


def test_a_full_disk(deme: Deme, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    import deme.decouple.checkpoint as module

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "save_file", full)
    code, _, err = deme(*run_words(tmp_path))
    assert code == 1 and "No space left" in err and "Fix: free space" in err
    monkeypatch.undo()


def test_broken_images_are_named_and_skipped(deme: Deme, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for index in range(24):
        Image.effect_noise((8, 8), 60).save(images / f"{index}.png")
    (images / "broken.png").write_bytes(b"not an image")
    words = ("decouple", "digits", "--expert", "0", "-o", str(tmp_path / "runs"), *arguments())
    code, _, err = deme(*words, "--set", f"data.dataset={images}")
    assert code == 0, err
    assert "broken.png" in err and "skipped 1" in err
    words = (*words, "--set", f"data.dataset={images}", "--set", "data.strict=true")
    code, _, err = deme(*words)
    assert code == 1 and "broken.png" in err


@pytest.mark.slow
def test_accelerate_launch_trains_one_expert(tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--cpu"]
    launcher += ["--num_processes", "2", "--num_machines", "1", "--dynamo_backend", "no"]
    launcher += ["--mixed_precision", "no", "-m", "deme", "decouple", "digits"]
    words = ["--expert", "2", "-o", str(tmp_path), "--quiet", *arguments()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [*launcher, *words], capture_output=True, text=True, env=environment, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (expert,) = tmp_path.glob("digits-*/experts/t0500-0750")
    weights = read_weights(expert)
    read_weights(DIGITS_PIPELINE).require_same_layout(weights)


def test_interrupting_says_how_to_go_on(tmp_path: Path) -> None:
    import signal
    import time

    words = ("run", "digits", "-o", str(tmp_path), "--quiet", *arguments())
    process = deme_process(*words, "--set", "decouple.steps=5000")
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("digits-*/work/*")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and "resumes" in err and "Traceback" not in err
