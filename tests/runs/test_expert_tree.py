"""Experts that are trained as a tree, as a run's artifacts."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from deme.files import read_json, remove
from deme.runs import RunContext
from deme.runs.stages import train, training
from deme.runs.stages.train import train_experts, train_one
from integration.tiny_run import context_of


@pytest.fixture(autouse=True)
def no_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """accelerate collects garbage after each training, which takes longer than a tiny one."""
    monkeypatch.setattr("accelerate.utils.memory.gc.collect", lambda *args: 0)


SMALL = ("decouple.tree=true", "decouple.batch_size=4")


def tree_run(output: Path, *overrides: str) -> RunContext:
    context = context_of(output, *SMALL, *overrides)
    context.store.prepare()
    return context


def artifacts(context: RunContext) -> dict[str, Any]:
    return read_json(context.store.path / "manifest.json")["artifacts"]


def test_a_tree_trains_each_node_once_and_notes_what_it_came_from(tmp_path: Path) -> None:
    context = tree_run(tmp_path, "decouple.steps=3")
    assert train_experts(context)
    made = artifacts(context)
    assert sorted(made) == [
        "experts-tree/t0000-0500",
        "experts-tree/t0000-1000",
        "experts-tree/t0500-1000",
        "experts/t0000-0250",
        "experts/t0250-0500",
        "experts/t0500-0750",
        "experts/t0750-1000",
    ]
    assert "parent" not in made["experts-tree/t0000-1000"]["made_from"]
    root, half = made["experts-tree/t0000-1000"], made["experts-tree/t0500-1000"]
    assert half["made_from"]["parent"] == root["sha256"]
    assert made["experts/t0750-1000"]["made_from"]["parent"] == half["sha256"]
    taken = {
        n: read_json(context.store.path / n / "training.json")["config"]["steps"] for n in made
    }
    assert sum(taken.values()) == 3 * 4
    assert not train_experts(context)


def test_a_child_of_no_steps_is_its_parent(tmp_path: Path) -> None:
    context = tree_run(tmp_path, "decouple.ranges=2", "decouple.steps=0")
    train_experts(context)
    for denoiser in context.expert_denoisers:
        assert all(torch.equal(context.base[name], w) for name, w in denoiser.weights().items())


def test_a_child_goes_on_from_its_parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: dict[str, Any] = {}
    own = train.train_to_folder

    def watching(context: RunContext, job: Any, artifact: str, *rest: Any) -> bool:
        starts[artifact] = None if job.start is None else job.start.weights()
        return own(context, job, artifact, *rest)

    monkeypatch.setattr(train, "train_to_folder", watching)
    context = tree_run(tmp_path, "decouple.ranges=2", "decouple.steps=2")
    train_experts(context)
    parent = context.load_pipeline(context.store.path / "experts-tree/t0000-1000").weights()
    assert starts["experts-tree/t0000-1000"] is None
    for leaf in ("experts/t0000-0500", "experts/t0500-1000"):
        assert all(torch.equal(parent[name], tensor) for name, tensor in starts[leaf].items())
    assert any(not torch.equal(parent[name], context.base[name]) for name in parent)


def test_one_range_as_a_tree_is_the_plain_expert_bit_for_bit(tmp_path: Path) -> None:
    plain = context_of(tmp_path, "decouple.ranges=1", "decouple.batch_size=4")
    plain.store.prepare()
    tree = tree_run(tmp_path, "decouple.ranges=1")
    for context in (plain, tree):
        train_experts(context)
    (one,), (other,) = plain.expert_denoisers, tree.expert_denoisers
    assert all(torch.equal(w, other.weights()[name]) for name, w in one.weights().items())


class Stopped(Exception):
    """Somebody pressed control-C."""


def test_stopped_anywhere_and_started_again_is_the_same_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ("decouple.ranges=2", "decouple.steps=4")
    whole = tree_run(tmp_path / "whole", *settings)
    train_experts(whole)
    for stop_in, step in (("experts-tree/t0000-1000", 3), ("experts/t0500-1000", 1)):
        context = tree_run(tmp_path / stop_in.replace("/", "-"), *settings)
        _stop_once(monkeypatch, stop_in, step)
        with pytest.raises(Stopped):
            train_experts(context)
        monkeypatch.undo()
        train_experts(context)
        digests = {name: entry["sha256"] for name, entry in artifacts(context).items()}
        assert digests == {name: entry["sha256"] for name, entry in artifacts(whole).items()}


def _stop_once(monkeypatch: pytest.MonkeyPatch, stop_in: str, at: int) -> None:
    own = training.train_expert

    def stopping(job: Any, work: Path, *rest: Any, **options: Any) -> Any:
        def stop(step: int, values: Any) -> None:
            if step == at and work.as_posix().endswith(stop_in):
                raise Stopped

        return own(job, work, *rest, **{**options, "on_progress": stop})

    monkeypatch.setattr(training, "train_expert", stopping)


def test_a_node_that_is_gone_is_trained_again_and_its_children_stay(tmp_path: Path) -> None:
    context = tree_run(tmp_path, "decouple.ranges=2", "decouple.steps=2")
    train_experts(context)
    before = artifacts(context)
    remove(context.store.path / "experts-tree")
    assert train_one(context, 0)
    assert artifacts(context) == before


def test_who_finds_a_node_in_training_waits_for_it(tmp_path: Path) -> None:
    context = tree_run(tmp_path, "decouple.ranges=2", "decouple.steps=2")
    thread = threading.Thread(target=train_one, args=(context, 1))
    with context.store.lock("expert-t0000-1000"):
        thread.start()
        thread.join(1)
        assert thread.is_alive()  # it waits, and has neither failed nor trained
        assert not (context.store.path / "experts-tree").exists()
    thread.join()
    assert sorted(artifacts(context)) == ["experts-tree/t0000-1000", "experts/t0500-1000"]
