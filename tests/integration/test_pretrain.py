"""Pretraining end to end: the one loop, resumed bit for bit, to a pipeline that anything loads."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from diffusers import DDIMPipeline, DDPMPipeline

from deme.decouple import TimestepRange, TimestepSampler, TrainingJob, train_expert
from deme.decouple.config import TrainingConfig
from deme.denoisers import load_denoiser
from deme.errors import RunLockedError
from deme.files import hash_file, hash_tree, read_json
from deme.runs import pretrain
from deme.runs.pretrain import Pretraining, run_pretraining
from integration.tiny_pretraining import (
    MEASURED,
    TINY,
    pretraining_of,
    run_tiny_pretraining,
    write_tiny,
)
from integration.tiny_run import arguments

Deme = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Pretraining:
    """A finished pretraining; tests must not change it."""
    pretraining = pretraining_of(tmp_path_factory.mktemp("trained"))
    run_pretraining(pretraining)
    return pretraining


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_denoiser(folder).weights()


def test_the_result_is_the_training_loop_on_all_timesteps(
    trained: Pretraining, tmp_path: Path
) -> None:
    job = TrainingJob(
        name="round 1",
        pretrained=load_denoiser(trained.store.path / "start"),
        source=trained.context.source,
        timesteps=TimestepSampler(TimestepRange(0, 1000), 1000, p=0.0),
        config=TrainingConfig.model_validate(TINY["training"]),
        placement="none",
        teacher=None,
        consistency=0.0,
        seed=0,
    )
    by_hand = train_expert(job, tmp_path, Accelerator(cpu=True)).denoiser.weights()
    found = weights_of(trained.result)
    assert found.keys() == by_hand.keys()
    assert all(torch.equal(found[name], by_hand[name]) for name in found)
    start = weights_of(trained.store.path / "start")
    assert any(not torch.equal(found[name], start[name]) for name in found)


def test_plain_diffusers_loads_the_same_weights_and_draws(trained: Pretraining) -> None:
    pipeline = DDPMPipeline.from_pretrained(trained.result)
    own = load_denoiser(trained.result).weights()
    theirs = pipeline.unet.state_dict()
    assert all(torch.equal(theirs[name], own[name]) for name in own)
    drawer = DDIMPipeline(pipeline.unet, pipeline.scheduler)
    (images,) = drawer(num_inference_steps=2, return_dict=False)
    assert images[0].size == (8, 8)


def test_pictures_and_records_are_there(trained: Pretraining) -> None:
    folder = trained.store.path
    for picture in ("samples.png", "loss.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    record = read_json(folder / "metrics.json")
    assert record["images"] == 6 * 8 and record["steps"] == 6
    assert record["metrics"] == {} and record["rounds"] == []
    assert record["flops"] > 0
    losses = read_json(trained.result / "training.json")["losses"]
    assert [point["step"] for point in losses] == [1, 2, 3, 4, 5, 6]


def test_the_same_command_finds_it_done(trained: Pretraining) -> None:
    before = hash_file(trained.store.path / "manifest.json"), hash_tree(trained.result)
    stamp = (trained.result / "unet" / "config.json").stat().st_mtime_ns
    run_pretraining(pretraining_of(trained.store.path.parent))
    assert (hash_file(trained.store.path / "manifest.json"), hash_tree(trained.result)) == before
    assert (trained.result / "unet" / "config.json").stat().st_mtime_ns == stamp


def test_a_stopped_training_goes_on_bit_for_bit(
    trained: Pretraining, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deme.decouple import training

    whole = training._optimizer_step

    def stopping(job: Any, trainee: Any, accelerator: Any, draws: Any, step: int) -> Any:
        if step == 5:
            raise KeyboardInterrupt
        return whole(job, trainee, accelerator, draws, step)

    monkeypatch.setattr(training, "_optimizer_step", stopping)
    with pytest.raises(KeyboardInterrupt):
        run_pretraining(pretraining_of(tmp_path))
    monkeypatch.undo()
    resumed = pretraining_of(tmp_path)
    assert list((resumed.store.path / "work").rglob("step-000004"))
    assert not resumed.result.exists()
    run_pretraining(resumed)
    assert hash_tree(resumed.result) == hash_tree(trained.result)


@pytest.mark.slow
def test_killed_and_restarted_ends_the_same(tmp_path: Path) -> None:
    run_tiny_pretraining(tmp_path / "whole")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deme.runs.pretrain", "diffusers"])
    process = context.Process(target=run_tiny_pretraining, args=(tmp_path / "killed",))
    process.start()
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("*/work/*/checkpoints/step-*")):
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    (folder,) = (tmp_path / "killed").glob("tiny-*")
    assert not (folder / "pretrained").exists()
    run_tiny_pretraining(tmp_path / "killed")
    (whole,) = (tmp_path / "whole").glob("tiny-*")
    assert hash_tree(folder / "pretrained") == hash_tree(whole / "pretrained")
    assert (folder / "metrics.json").read_bytes() == (whole / "metrics.json").read_bytes()
    assert not list(folder.rglob(".partial-*"))


def test_a_detector_gives_numbers_without_training_anew(
    trained: Pretraining, tmp_path: Path
) -> None:
    shutil.copytree(trained.store.path, tmp_path / trained.store.path.name)
    measured = pretraining_of(tmp_path, **MEASURED)
    record = run_pretraining(measured)
    assert measured.store.path.name == trained.store.path.name
    assert hash_tree(measured.result) == hash_tree(trained.result)
    found = record["metrics"]["digits"]["frechet"]
    assert len(found["values"]) == 2 and found["mean"] > found["floor"] > 0


def test_rounds_go_on_from_each_other_and_the_best_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []

    def judge(before: Any, distances: Any, plateau: Any) -> dict[str, Any]:
        told.append(sum(distances))
        return {"distances": distances, "mean": 0.0, "helped": len(before) < 2}

    monkeypatch.setattr(pretrain, "compare_rounds", judge)
    pretraining = pretraining_of(
        tmp_path, plateau={"rounds": 5, "seeds": [11, 12]}, seed=3, **MEASURED
    )
    record = run_pretraining(pretraining)
    rounds = [pretraining.store.path / f"rounds/{number:02d}" for number in (1, 2, 3)]
    assert all(folder.is_dir() for folder in rounds) and len(record["rounds"]) == 3
    assert len({hash_tree(folder) for folder in rounds}) == 3 and len(set(told)) == 3
    assert hash_tree(pretraining.result) == hash_tree(rounds[1])  # the third did not help
    assert record["steps"] == 3 * 6


def test_a_pipeline_that_is_there_is_trained_on(trained: Pretraining, tmp_path: Path) -> None:
    more = pretraining_of(tmp_path, model={"path": str(trained.result)})
    run_pretraining(more)
    assert not (more.store.path / "start").exists()
    assert weights_of(more.result).keys() == weights_of(trained.result).keys()
    assert hash_tree(more.result) != hash_tree(trained.result)


def test_a_second_process_is_turned_away(tmp_path: Path) -> None:
    pretraining = pretraining_of(tmp_path)
    with pretraining.store.lock(), pytest.raises(RunLockedError):
        run_pretraining(pretraining_of(tmp_path))


# the command line


def test_a_run_takes_the_result_as_its_model(deme: Deme, tmp_path: Path) -> None:
    spec = write_tiny(tmp_path / "mine.yaml")
    place = tmp_path / "models" / "mine"
    code, out, err = deme("pretrain", spec, "--to", place, "-o", tmp_path / "runs", "-q")
    assert code == 0, err
    assert str(place) in out and (place / "model_index.json").is_file()
    words = ("decouple", "digits", "--expert", "1", "-q", "-o", tmp_path / "runs")
    code, out, err = deme(*words, *arguments(f"model={place}"))
    assert code == 0, err
    assert (Path(out.strip()) / "t0250-0500" / "model_index.json").is_file()


def test_another_pipeline_is_not_overwritten(deme: Deme, tmp_path: Path) -> None:
    spec = write_tiny(tmp_path / "mine.yaml")
    words = ("pretrain", spec, "--to", tmp_path / "model", "-o", tmp_path / "runs", "-q")
    assert deme(*words)[0] == 0
    before = hash_tree(tmp_path / "model")
    assert deme(*words)[0] == 0
    code, _, err = deme(*words, "--set", "seed=1")
    assert code == 1 and "is not this pipeline" in err and "Fix:" in err
    assert hash_tree(tmp_path / "model") == before


def test_a_dry_run_says_the_cost_and_writes_nothing(deme: Deme, tmp_path: Path) -> None:
    spec = write_tiny(tmp_path / "mine.yaml")
    code, out, err = deme("pretrain", spec, "--dry-run", "-o", tmp_path / "runs", "-q")
    assert code == 0, err
    for words in ("6 steps of 8 images", "FLOP", "one step", "total time"):
        assert words in out
    assert not list((tmp_path / "runs").glob("*/spec.yaml"))


def test_until_plateau_compares_rounds(deme: Deme, tmp_path: Path) -> None:
    spec = write_tiny(tmp_path / "mine.yaml", **MEASURED)
    words = ("pretrain", spec, "--until-plateau", "-o", tmp_path / "runs", "-q")
    code, out, err = deme(*words, "--set", "plateau.least_gain=0.99")
    assert code == 0, err
    assert "round 2" in out and "the round before is kept" in out and "round 3" not in out
    code, _, err = deme("pretrain", write_tiny(tmp_path / "bare.yaml"), "--until-plateau")
    assert code == 2 and "needs a detector" in err
