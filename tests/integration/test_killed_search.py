"""Driver or worker killed at any moment: the resumed study equals one that was never stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from deme.errors import TrainingError
from deme.files import hash_tree
from deme.runs.workers import PARENT_CHECK_SECONDS, Workers
from integration.tiny_run import context_of
from integration.toy_tasks import (
    WORKERS,
    measured_in_the_run,
    notes,
    search_alone,
    search_side_by_side,
    toy_search,
    values_of,
)
from search.toy_search import toy_study

KILLS = 10


def start(folder: Path) -> BaseProcess:
    """The driver in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["optuna.storages._rdb.storage", "integration.toy_tasks"])
    process = context.Process(target=search_side_by_side, args=(folder,))
    process.start()
    return process


def let_it_note(process: BaseProcess, folder: Path, more: int) -> None:
    """Waits until so many draws more were begun or kept, or the process has ended."""
    wanted = len(notes(folder)) + more
    while process.is_alive() and len(notes(folder)) < wanted:
        time.sleep(0.005)


def contents(folder: Path) -> tuple[object, str]:
    """The study without its times, and the hash of all features."""
    trials = [
        (trial.candidate, trial.images, trial.values, trial.cost)
        for trial in toy_study(folder).trials
    ]
    return trials, hash_tree(folder / "features")


def check_draws(folder: Path, kills: int) -> None:
    """What was kept is never drawn again, and a kill costs no more than the draws at hand."""
    kept: set[str] = set()
    for what, subject in notes(folder):
        assert subject not in kept
        if what == "kept":
            kept.add(subject)
    begun = sum(what == "begin" for what, _ in notes(folder))
    assert begun <= len(toy_study(folder).trials) + WORKERS * kills


@pytest.fixture
def expected(tmp_path: Path) -> tuple[object, str]:
    """The study of a search that nothing stopped."""
    search_alone(tmp_path / "whole")
    return contents(tmp_path / "whole")


@pytest.mark.slow
def test_ten_kills_of_the_driver_change_nothing(
    tmp_path: Path, expected: tuple[object, str]
) -> None:
    moments = random.Random(20_26)
    found: set[int] = set()
    killed = finished = kills_here = 0
    while killed < KILLS or kills_here:  # the last one is run to its end
        folder = tmp_path / f"killed-{finished}"
        process = start(folder)
        if killed < KILLS:
            let_it_note(process, folder, moments.randrange(4))
            process.join(timeout=moments.uniform(0, 0.1))
        else:
            process.join(timeout=300)
        if process.exitcode is None and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            time.sleep(2 * PARENT_CHECK_SECONDS)  # its workers end
        if process.exitcode == -signal.SIGKILL:
            killed += 1
            kills_here += 1
            found.add(len(toy_study(folder).trials))
        else:
            assert process.exitcode == 0 and contents(folder) == expected
            check_draws(folder, kills_here)
            finished, kills_here = finished + 1, 0
    assert finished and len(found) >= 3  # the kills did fall at several moments


@contextlib.contextmanager
def killer(workers: Workers, folder: Path, moments: random.Random) -> Iterator[list[int]]:
    """Kills a worker a while after each time that one began to draw, until the block ends."""
    kills: list[int] = []
    over = threading.Event()

    def kill() -> None:
        seen = 0
        while not over.wait(0.005):
            begun = sum(what == "begin" for what, _ in notes(folder))
            if begun <= seen or len(kills) == KILLS:
                continue
            time.sleep(moments.uniform(0, 0.2))
            running = list(getattr(workers._pool, "_processes", None) or [])
            if running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(moments.choice(running), signal.SIGKILL)
                    kills.append(begun)
            seen = sum(what == "begin" for what, _ in notes(folder))

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        yield kills
    finally:
        over.set()
        thread.join()


@pytest.mark.slow
def test_ten_kills_of_workers_change_nothing(tmp_path: Path, expected: tuple[object, str]) -> None:
    moments = random.Random(20_27)
    killed = 0
    for number in range(KILLS):
        context = context_of(tmp_path / str(number), f"runtime.workers={WORKERS}")
        folder = context.store.path
        workers = context.workers
        with killer(workers, folder, moments) as kills:
            result = None
            while result is None:
                with contextlib.suppress(TrainingError):  # three in a row: the user starts again
                    result = toy_search(folder, partial(workers.map, measured_in_the_run))
            workers.close()
        assert contents(folder) == expected
        assert values_of(result) == values_of(search_alone(folder))
        check_draws(folder, len(kills))
        killed += len(kills)
        if killed >= KILLS:
            break
    assert killed >= KILLS
