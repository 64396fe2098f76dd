"""``deme compare`` on the bundled digits, tiny: whole, stopped, restarted, grown."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from deme.compare import run_comparison
from deme.files import hash_tree, read_json
from integration.tiny_compare import SMALL, compare_in, comparison_in


def record_in(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "runs").glob("small-*/compare.json")
    return read_json(path)


def what_it_says(folder: Path) -> dict[str, Any]:
    """The record without what was measured with a clock."""
    record = record_in(folder)
    for entry in (*record["arms"].values(), *record["curve"]):
        entry.pop("seconds_per_sample", None)
        entry.pop("seconds", None)
    return record


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "whole"
    compare_in(folder)
    return folder


def test_every_arm_is_judged_on_the_same_seeds_at_the_same_budget(whole: Path) -> None:
    record = record_in(whole)
    assert list(record["arms"]) == list(SMALL["arms"]) and record["missing"] == []
    for name, arm in record["arms"].items():
        assert [len(row) for row in arm["values"]["pixels"]["frechet"]] == [2, 2], name
        assert arm["training_images"] == (0 if name == "pretrained" else record["budget"]["images"])
        assert len(arm["trials"]) == (0 if name == "pretrained" else record["trials"]["count"])
    assert record["arms"]["deme"]["parameters"] == record["arms"]["pretrained"]["parameters"]
    assert record["arms"]["routed"]["parameters"] == 2 * record["arms"]["pretrained"]["parameters"]
    assert record["arms"]["deme"]["search_images"] > 0


def test_what_is_trained_costs_operations_that_were_counted(whole: Path) -> None:
    arms = record_in(whole)["arms"]
    per_image = arms["plain"]["training_flops"] / arms["plain"]["training_images"]
    forward = arms["plain"]["flops_per_sample"] / arms["plain"]["sampler_steps"]
    assert 2.5 < per_image / forward < 3.1  # forward, and twice as much backward
    teacher = arms["deme"]["training_flops"] / arms["plain"]["training_flops"]
    assert 1.2 < teacher < 1.6  # the frozen model's forward besides, and projections


def test_differences_are_the_references_value_minus_the_arms_pair_by_pair(whole: Path) -> None:
    arms = record_in(whole)["arms"]
    mine, other = (torch.tensor(arms[n]["values"]["digits"]["kid"]) for n in ("deme", "plain"))
    found = arms["plain"]["against"]["digits"]["kid"]
    assert found["mean"] == pytest.approx(float((mine - other).mean()))
    assert found["low"] < found["mean"] < found["high"] and "against" not in arms["deme"]


def test_each_arm_keeps_its_best_trial_on_the_searchs_noise(whole: Path) -> None:
    for name, arm in record_in(whole)["arms"].items():
        if name != "pretrained":
            best = min(arm["trials"], key=lambda trial: trial["value"])
            assert arm["chosen"] == {k: best[k] for k in ("learning_rate", "average")}


def test_the_curve_has_the_tables_own_point_and_another(whole: Path) -> None:
    record = record_in(whole)
    points = {point["sampler_steps"]: point for point in record["curve"]}
    assert sorted(points) == [2, 3]
    assert points[2]["metrics"] == record["arms"]["plain"]["metrics"]
    assert points[3]["flops"] == pytest.approx(1.5 * points[2]["flops"])


def test_again_nothing_is_trained_drawn_or_measured(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("there was nothing left to do")

    before = what_it_says(whole)
    monkeypatch.setattr("deme.runs.stages.training.train_expert", refuse)
    monkeypatch.setattr("deme.compare.drawing.draw_features", refuse)
    monkeypatch.setattr("deme.compare.judging.measure", refuse)
    monkeypatch.setattr("deme.runs.reference.real_floor", refuse)
    compare_in(whole)
    assert what_it_says(whole) == before


def test_an_arm_that_joins_later_changes_no_other(whole: Path, tmp_path: Path) -> None:
    run_comparison(comparison_in(tmp_path, ["pretrained", "deme"]))
    before = sorted(path.name for path in (tmp_path / "runs").glob("train-*"))
    trained = {name: hash_tree(tmp_path / "runs" / name / "experts") for name in before}
    run_comparison(comparison_in(tmp_path))
    assert {n: hash_tree(tmp_path / "runs" / n / "experts") for n in before} == trained
    assert (
        what_it_says(tmp_path)["arms"]["plain"]["values"]
        == (what_it_says(whole)["arms"]["plain"]["values"])
    )


def test_killed_and_restarted_it_says_the_same(whole: Path, tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["deme.compare", "diffusers"])
    stopped: list[int] = []
    seconds = 2.0
    while True:
        process = processes.Process(target=compare_in, args=(tmp_path,))
        process.start()
        process.join(timeout=seconds)
        seconds *= 1.5  # so that it ends on a slow machine too
        if process.exitcode is not None:
            break
        if process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        done = [*(tmp_path / "runs").glob("train-*/experts/*/training.json")]
        assert len(done) >= (stopped[-1] if stopped else 0)
        stopped.append(len(done))
    assert process.exitcode == 0 and len(stopped) >= 2
    assert what_it_says(tmp_path) == what_it_says(whole)
