"""Tasks for workers without a model, which note what they draw; imported by this module's name."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch

from deme.runs import RunContext, run_job
from deme.runs.workers import _end_with_parent
from deme.search.evaluation import Proposal, Tables
from deme.search.loop import SearchResult, search_weights
from deme.search.measuring import Measurement, measure
from deme.search.set_store import SetStore
from deme.search.space import Candidate
from integration.tiny_run import context_of
from search.toy_search import (
    ANCHORS,
    IMAGES,
    DescendingStrategy,
    MeanObjective,
    features,
    toy_study,
)

SECONDS_PER_IMAGE = 0.004
LOG = "draws.log"
WORKERS = 2
Note = tuple[str, str]


def toy_sets(folder: Path) -> SetStore:
    return SetStore(folder / "features", "key")


def note(folder: Path, what: str, subject: str) -> None:
    """Appends a line, whole or not at all whoever is killed."""
    with (folder / LOG).open("a") as log:
        log.write(f"{what}\t{subject}\n")


def notes(folder: Path) -> list[Note]:
    """All lines: ``begin`` and ``kept`` of candidates and their images."""
    path = folder / LOG
    lines = path.read_text().splitlines() if path.exists() else []
    return [(what, subject) for what, _, subject in (line.partition("\t") for line in lines)]


def measure_slowly(folder: Path, proposal: Proposal) -> Measurement:
    """A toy evaluation that takes a while, as drawing images does."""
    drawn: list[str] = []

    def draw(rows: range) -> Tables:
        drawn.append(f"{proposal.candidate} {rows}")
        note(folder, "begin", drawn[-1])
        time.sleep(SECONDS_PER_IMAGE * len(rows))
        return {"features": features(proposal.candidate, rows)}

    measured = measure(proposal, toy_sets(folder), draw, [MeanObjective()])
    for subject in drawn:
        note(folder, "kept", subject)
    return measured


def toy_search(
    folder: Path, evaluate: Callable[[Sequence[Proposal]], Iterable[Measurement]]
) -> SearchResult:
    """The search whose evaluations :func:`measure_slowly` makes."""
    folder.mkdir(parents=True, exist_ok=True)
    return search_weights(
        DescendingStrategy(),
        evaluate,
        study=toy_study(folder),
        sets=toy_sets(folder),
        images=IMAGES,
        anchors=ANCHORS,
    )


def search_alone(folder: Path) -> SearchResult:
    """In this process."""
    return toy_search(folder, functools.partial(map, functools.partial(measure_slowly, folder)))


def watch_parent(parent: int) -> None:
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def search_side_by_side(folder: Path) -> None:
    """The toy search in two processes, which end with this one as a run's workers do."""
    with ProcessPoolExecutor(
        WORKERS, multiprocessing.get_context("fork"), watch_parent, (os.getpid(),)
    ) as pool:

        def evaluate(proposals: Sequence[Proposal]) -> Iterator[Measurement]:
            return pool.map(functools.partial(measure_slowly, folder), proposals)

        toy_search(folder, evaluate)


def values_of(result: SearchResult) -> list[tuple[Candidate, int, tuple[float, ...]]]:
    return [(item.candidate, item.images, item.values) for item in result.evaluations]


def tiny_stage(output: Path, stage: str) -> None:
    """One stage of the tiny run, as ``deme`` does it."""
    torch.set_num_threads(1)
    run_job(context_of(output), [stage])


# tasks


def measured_in_the_run(context: RunContext, proposal: Proposal) -> Measurement:
    return measure_slowly(context.store.path, proposal)


def process_number(context: RunContext, number: int) -> tuple[int, int]:
    time.sleep(0.01)
    return number, os.getpid()


def die_the_first_time(context: RunContext, number: int) -> int:
    """Dies, as out of memory, where it is the first to be asked for number 3."""
    note(context.store.path, "begin", str(number))
    if number == 3 and notes(context.store.path).count(("begin", "3")) == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 10 * number


def die_noted(context: RunContext, number: int) -> int:
    note(context.store.path, "begin", str(number))
    os.kill(os.getpid(), signal.SIGKILL)
    return number
