"""Worker processes: results in order, errors as raised, and the same bits as without them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from deme.errors import ConfigError, TrainingError
from deme.files import hash_tree
from deme.runs import RunContext, run_job
from integration.tiny_run import context_of, die, double, refuse


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
        with pytest.raises(TrainingError, match=r"worker process was killed.*runtime\.workers"):
            list(context.workers.map(die, [1]))
    finally:
        context.workers.close()


@pytest.mark.slow
def test_workers_change_no_bit(tmp_path: Path, finished: RunContext) -> None:
    context = context_of(tmp_path, "runtime.workers=2")
    run_job(context)
    for name in ("merged", "joint", "metrics.json"):
        assert hash_tree(context.store.path / name, leaving_out=("README.md",)) == hash_tree(
            finished.store.path / name, leaving_out=("README.md",)
        )
