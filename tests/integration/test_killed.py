"""Killed at any moment and restarted, a run ends with the bytes of one that was never stopped."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from deme.files import hash_tree
from integration.tiny_run import run_tiny

KILLS = 10


def start(output: Path) -> BaseProcess:
    """The tiny run in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["deme.cli.verbs", "deme.runs", "deme.report", "diffusers"])
    process = context.Process(target=run_tiny, args=(output,))
    process.start()
    return process


def run_to_the_end(output: Path) -> float:
    """Runs the tiny job to its end; returns how long it took."""
    started = time.monotonic()
    process = start(output)
    process.join(timeout=300)
    assert process.exitcode == 0
    return time.monotonic() - started


def result_of(output: Path) -> tuple[str, bytes]:
    """Hash of ``merged/`` with its card, and the bytes of ``metrics.json``."""
    (folder,) = output.glob("digits-*")
    return hash_tree(folder / "merged"), (folder / "metrics.json").read_bytes()


def what_is_there(output: Path) -> frozenset[str]:
    """The finished artifacts of a run that may have been cut anywhere."""
    folders = list(output.glob("digits-*"))
    names = ("experts", "joint", "search/study.db", "merged", "evaluation", "metrics.json")
    return frozenset(name for name in names if folders and (folders[0] / name).exists())


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    run_to_the_end(tmp_path / "warm-up")
    whole = run_to_the_end(tmp_path / "whole")
    expected = result_of(tmp_path / "whole")
    moments = random.Random(20_26)
    seen: set[frozenset[str]] = set()
    killed = finished = 0
    while killed < KILLS:  # a run that reached its end in spite of them is followed by another
        output = tmp_path / f"killed-{finished}"
        process = start(output)
        process.join(timeout=moments.uniform(0.05, 0.35) * whole)
        if process.exitcode is None and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        seen.add(what_is_there(output))
        if process.exitcode == -signal.SIGKILL:
            killed += 1
        else:
            assert process.exitcode == 0 and result_of(output) == expected
            finished += 1
    assert len(seen) >= 3  # the kills did fall into several stages
    run_to_the_end(tmp_path / f"killed-{finished}")
    assert result_of(tmp_path / f"killed-{finished}") == expected
    (folder,) = (tmp_path / f"killed-{finished}").glob("digits-*")
    assert not list(folder.rglob(".partial-*"))
