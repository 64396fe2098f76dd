"""Worker processes: results in order, errors as raised, and the same bits as without them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from deme.errors import ConfigError, TrainingError
from deme.files import hash_tree
from deme.runs import RunContext, run_job
from deme.runs.progress import Reporter
from deme.runs.workers import Losses
from integration.tiny_run import context_of, double, refuse
from integration.toy_tasks import die_noted, die_the_first_time, notes


def test_one_worker_is_this_process(tmp_path: Path) -> None:
    context = context_of(tmp_path)
    assert list(context.workers.map(double, [1, 2])) == [(2, os.getpid()), (4, os.getpid())]


@pytest.mark.slow
def test_two_workers(tmp_path: Path) -> None:
    context = context_of(tmp_path, "runtime.workers=2")
    try:
        results = list(context.workers.map(double, range(6)))
        assert [value for value, _ in results] == [0, 2, 4, 6, 8, 10]
        assert os.getpid() not in {pid for _, pid in results}
        with pytest.raises(ConfigError, match=r"not 3\. Choices: 1, 2"):
            list(context.workers.map(refuse, [3]))
    finally:
        context.workers.close()


@pytest.mark.slow
def test_a_lost_workers_task_is_issued_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(tmp_path, "runtime.workers=2")
    context.store.prepare()
    said: list[str] = []
    monkeypatch.setattr(context.reporter, "say", said.append)
    try:
        results = list(context.workers.map(die_the_first_time, range(6)))
        assert results == [0, 10, 20, 30, 40, 50]
        assert said == ["a worker process was lost; its task is issued again"]
        between = next(iter(context.workers.map(double, [1])))[1]
        os.kill(between, signal.SIGKILL)  # while it has nothing to do
        assert [value for value, _ in context.workers.map(double, [1, 2])] == [2, 4]
    finally:
        context.workers.close()


@pytest.mark.slow
def test_three_losses_without_a_result_end_the_run(tmp_path: Path) -> None:
    context = context_of(tmp_path, "runtime.workers=2")
    context.store.prepare()
    try:
        with pytest.raises(TrainingError, match=r"worker process was killed.*runtime\.workers"):
            list(context.workers.map(die_noted, [7]))
        assert notes(context.store.path) == [("begin", "7")] * 3
    finally:
        context.workers.close()


def test_losses_count_only_while_nothing_is_finished() -> None:
    losses = Losses(Reporter(quiet=True))
    for finished in (0, 0, 1, 1, 2, 2):
        losses.count(finished, OSError())
    with pytest.raises(TrainingError, match="worker process was killed"):
        losses.count(2, OSError())


@pytest.mark.slow
def test_workers_change_no_bit(tmp_path: Path, finished: RunContext) -> None:
    context = context_of(tmp_path, "runtime.workers=2")
    run_job(context)
    for name in ("merged", "joint", "metrics.json"):
        assert hash_tree(context.store.path / name, leaving_out=("README.md",)) == hash_tree(
            finished.store.path / name, leaving_out=("README.md",)
        )
