"""Driver or worker killed at any moment: the resumed study equals one that was never stopped."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import optuna
import pytest

from deme.errors import TrainingError
from deme.files import hash_tree
from deme.runs.workers import PARENT_CHECK_SECONDS, Workers
from deme.search.study import quiet_optuna
from integration.tiny_run import context_of
from integration.toy_tasks import (
    WORKERS,
    measured_in_the_run,
    notes,
    search_alone,
    search_side_by_side,
    tiny_stage,
    toy_search,
    values_of,
)
from search.toy_search import toy_study

KILLS = 10


def start(task: Callable[..., None], *words: object) -> BaseProcess:
    """A driver in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["optuna.storages._rdb.storage", "integration.toy_tasks"])
    process = context.Process(target=task, args=words)
    process.start()
    return process


def let_it_note(process: BaseProcess, folder: Path, more: int) -> None:
    """Waits until so many draws more were begun or kept, or the process has ended."""
    wanted = len(notes(folder)) + more
    while process.is_alive() and len(notes(folder)) < wanted:
        time.sleep(0.005)


def kill(process: BaseProcess) -> None:
    """Kills the process unless it has ended."""
    if process.exitcode is None and process.pid is not None:
        os.kill(process.pid, signal.SIGKILL)
        process.join()


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
        process = start(search_side_by_side, folder)
        if killed < KILLS:
            let_it_note(process, folder, moments.randrange(4))
            process.join(timeout=moments.uniform(0, 0.1))
        else:
            process.join(timeout=300)
        kill(process)
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
        workers = Workers(context, WORKERS)
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


def finish(task: Callable[..., None], *words: object) -> None:
    """Runs a driver to its end."""
    process = start(task, *words)
    process.join(timeout=300)
    assert process.exitcode == 0


def drawn(output: Path) -> dict[str, int]:
    """The sets of a run's search, and when each was written."""
    return {
        f"{path.parent.name}/{path.name}": path.stat().st_mtime_ns
        for path in output.glob("*/search/features-*/*.safetensors")
    }


def searched(output: Path) -> tuple[bytes, list[str], list[object]]:
    """A run's search result, its features and its study without times."""
    (folder,) = output.glob("digits-*/search")
    with quiet_optuna():
        (study,) = optuna.study.get_all_study_names(f"sqlite:///{folder / 'study.db'}")
        loaded = optuna.load_study(study_name=study, storage=f"sqlite:///{folder / 'study.db'}")
    trials = [(study, trial.number, trial.params, trial.values) for trial in loaded.trials]
    features = [hash_tree(path) for path in sorted(folder.glob("features-*"))]
    return (folder / "result.json").read_bytes(), features, [*trials]


@pytest.mark.slow
def test_ten_kills_of_a_runs_search_change_nothing(tmp_path: Path) -> None:
    trained, whole = tmp_path / "trained", tmp_path / "whole"
    finish(tiny_stage, trained, "experts")
    shutil.copytree(trained, whole)
    finish(tiny_stage, whole, "search")
    moments = random.Random(20_28)
    sizes: set[int] = set()
    killed = finished = 0
    while killed < KILLS:
        output = tmp_path / f"killed-{finished}"
        if not output.exists():
            shutil.copytree(trained, output)
        before = drawn(output)
        process = start(tiny_stage, output, "search")
        wanted = len(before) + moments.randrange(3)
        while process.is_alive() and len(drawn(output)) < wanted:
            time.sleep(0.005)
        process.join(timeout=moments.uniform(0, 0.3))
        kill(process)
        assert before.items() <= drawn(output).items()  # none was written again
        sizes.add(len(drawn(output)))
        if process.exitcode == -signal.SIGKILL:
            killed += 1
        else:
            assert process.exitcode == 0 and searched(output) == searched(whole)
            finished += 1
    assert len(sizes) >= 3
    output = tmp_path / f"killed-{finished}"  # which the last kill has cut
    before = drawn(output)
    finish(tiny_stage, output, "search")
    assert before.items() <= drawn(output).items()
    assert searched(output) == searched(whole)
