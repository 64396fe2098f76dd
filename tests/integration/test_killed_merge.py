"""A merge killed at ten moments leaves the old state or the new one, and repeated it finishes."""

from __future__ import annotations

import multiprocessing
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from deme.files import hash_tree
from integration.tiny_merge import run_merge, write_models

KILLS = 10


def start(folder: Path, output: str, weights: tuple[str, ...] = ()) -> BaseProcess:
    """The merge in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deme.merge.job", "integration.tiny_merge"])
    process = context.Process(target=run_merge, args=(folder, output, weights))
    process.start()
    return process


def wait_until_it_writes(folder: Path, before: set[Path], process: BaseProcess) -> float:
    """Returns when it begins to write, with the time of that moment."""
    while not set(folder.glob(".partial-*")) - before and process.is_alive():
        time.sleep(0.001)
    return time.perf_counter()


def merge(folder: Path, output: str, weights: tuple[str, ...] = ()) -> float:
    """Merges to the end; returns the seconds from the first byte to the last."""
    process = start(folder, output, weights)
    begun = wait_until_it_writes(folder, set(), process)
    process.join(timeout=120)
    assert process.exitcode == 0
    return time.perf_counter() - begun


@pytest.mark.slow
def test_a_killed_merge_leaves_the_old_state_or_the_new_one(tmp_path: Path) -> None:
    write_models(tmp_path)
    merge(tmp_path, "merged", ("1", "0", "0"))
    seconds = merge(tmp_path, "first")
    old, new = hash_tree(tmp_path / "merged"), hash_tree(tmp_path / "first")
    assert old != new
    killed = 0
    for kill in range(KILLS):
        left = set(tmp_path.glob(".partial-*"))
        process = start(tmp_path, "merged")
        wait_until_it_writes(tmp_path, left, process)
        time.sleep(seconds * kill / KILLS)
        assert process.exitcode in (None, 0)
        process.kill()  # nothing happens to one that came to its end in the meantime
        process.join(timeout=30)
        killed += process.exitcode == -signal.SIGKILL
        assert hash_tree(tmp_path / "merged") in (old, new)
    assert killed >= KILLS // 2  # some moments may have come too late on a busy machine
    merge(tmp_path, "merged")
    assert hash_tree(tmp_path / "merged") == new
    assert not list(tmp_path.glob(".partial-*"))
