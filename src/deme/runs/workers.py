"""Worker processes of a run on one machine: experts, candidates and images side by side.

Each worker opens the run by its spec and folder and keeps the model, the images and the detector.
Tasks are small (an index, some weights, a seed) and results are artifacts in the folder or plain
numbers, so a worker that dies loses its task at hand and nothing else; that is issued again.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..errors import TrainingError
from .progress import Bar, Reporter

if TYPE_CHECKING:
    from .context import RunContext

Item = TypeVar("Item")
Result = TypeVar("Result")
PARENT_CHECK_SECONDS = 0.2
RELAY_SECONDS = 0.2
LOSSES = 3
"""So many workers lost in a row, with no task finished between, end the run."""

_own_context: RunContext | None = None


class Workers:
    """Runs tasks in order of submission: in this process, or side by side in ``count`` others.

    Others start by importing the main script, so a script of one's own that runs a job with
    several workers needs ``if __name__ == "__main__":`` around the call.

    Args:
        context: the run.
        count: how many processes; 1 is this one.
    """

    def __init__(self, context: RunContext, count: int) -> None:
        self.context = context
        self.count = count
        self._pool: ProcessPoolExecutor | None = None
        self._messages: Any = None

    def map(
        self, task: Callable[[RunContext, Item], Result], items: Iterable[Item]
    ) -> Iterator[Result]:
        """Results in the order of the items, each as soon as it is known.

        Args:
            task: a function of a module's top level; it is called with the worker's context.
            items: its other argument.

        Raises:
            DemeError: as the task raised it.
            TrainingError: worker processes were killed time and again, without a result between.
        """
        if self.count == 1:
            for item in items:
                yield task(self.context, item)
            return
        waiting = list(items)
        futures: dict[int, Future[Result]] = {}
        losses = Losses(self.context.reporter)
        given = 0
        try:
            while given < len(waiting):
                try:
                    for result in self._results(task, waiting, futures, given):
                        given += 1
                        yield result
                except BrokenProcessPool as error:
                    self.close()  # which ends the other workers too; by then each future is done
                    for number in [n for n, future in futures.items() if _was_lost(future)]:
                        del futures[number]
                    losses.count(len(futures), error)
        finally:
            for future in futures.values():
                future.cancel()

    def close(self) -> None:
        """Ends the worker processes."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _results(
        self,
        task: Callable[[RunContext, Item], Result],
        items: Sequence[Item],
        futures: dict[int, Future[Result]],
        given: int,
    ) -> Iterator[Result]:
        """Submits what has no future yet; results from number ``given`` on."""
        pool = self._open()
        with self._relayed():
            for number, item in enumerate(items):
                if number not in futures:
                    futures[number] = pool.submit(_call, task, item)
            for number in range(given, len(items)):
                yield futures[number].result()

    def _open(self) -> ProcessPoolExecutor:
        if self._pool is None:
            spawn = multiprocessing.get_context("spawn")
            self._messages = spawn.Queue()
            devices_left = spawn.Queue()
            devices = visible_devices()
            for number in range(self.count):
                devices_left.put(devices[number % len(devices)] if devices else "")
            spec = self.context.spec.model_dump_json()
            output = self.context.store.path.parent
            self._pool = ProcessPoolExecutor(
                self.count,
                mp_context=spawn,
                initializer=_start_worker,
                initargs=(spec, output, self.count, devices_left, self._messages, os.getpid()),
            )
        return self._pool

    @contextlib.contextmanager
    def _relayed(self) -> Iterator[None]:
        """Shows the workers' bars here, in a thread, until the block ends."""
        done = threading.Event()
        thread = threading.Thread(
            target=_show, args=(self.context.reporter, self._messages, done), daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class Losses:
    """Counts workers that were lost in a row, and gives up when nothing gets done between.

    Args:
        reporter: is told of each.

    """

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter
        self.in_a_row = 0
        self.finished = 0

    def count(self, finished: int, error: Exception) -> None:
        """Another one, when so many tasks were finished.

        Raises:
            TrainingError: it is the third since one was.

        """
        self.in_a_row = 1 if finished > self.finished else self.in_a_row + 1
        self.finished = finished
        if self.in_a_row == LOSSES:
            raise TrainingError(
                "A worker process was killed",
                fix="if memory ran out, lower runtime.workers; the same command resumes",
            ) from error
        self.reporter.say("a worker process was lost; its task is issued again")


def _was_lost(future: Future[Any]) -> bool:
    if future.cancelled() or not future.done():
        return True
    return isinstance(future.exception(), BrokenProcessPool)


def visible_devices() -> list[str]:
    """The CUDA devices that this process may use, by the names that its children know."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip()]
    return [str(index) for index in range(torch.cuda.device_count())]


def _start_worker(
    spec: str, output: Path, count: int, devices_left: Any, messages: Any, parent: int
) -> None:
    """Opens the run in a new process, on its share of the machine's devices and threads."""
    device = devices_left.get()
    if device:  # before anything asks CUDA what there is: it looks once
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    from .context import RunContext
    from .spec import RunSpec
    from .store import RunStore

    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
    loaded = RunSpec.model_validate_json(spec)
    if loaded.runtime.threads is None:
        torch.set_num_threads(max(1, torch.get_num_threads() // count))
    global _own_context  # a worker has one run, and tasks cannot carry it
    _own_context = RunContext(loaded, RunStore(output, loaded), RelayReporter(messages))


def _call(task: Callable[[RunContext, Item], Result], item: Item) -> Result:
    if _own_context is None:
        raise TrainingError("A worker was not started with a run")
    return task(_own_context, item)


def _end_with_parent(parent: int) -> None:
    """A killed run must not leave workers behind that write to its folder."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


class RelayReporter(Reporter):
    """Sends a worker's bars to the main process."""

    def __init__(self, messages: Any) -> None:
        super().__init__(quiet=True)
        self.messages = messages

    @contextlib.contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """A bar that is drawn by the main process."""
        yield RelayBar(self.messages, title, total)
        self.messages.put((title, total, total, None))


class RelayBar(Bar):
    """A bar whose state is sent, a few times a second."""

    def __init__(self, messages: Any, title: str, total: int) -> None:
        self.messages = messages
        self.title = title
        self.total = total
        self.done = 0
        self._last = 0.0

    def at(self, done: int, note: str | None = "", total: int | None = None) -> None:
        """``done`` units are finished."""
        self.done = done
        self.total = self.total if total is None else total
        if time.monotonic() - self._last > RELAY_SECONDS:
            self._last = time.monotonic()
            self.messages.put((self.title, done, self.total, note))

    def advance(self, units: int) -> None:
        """``units`` more are finished."""
        self.at(self.done + units)


def _show(reporter: Reporter, messages: Any, done: threading.Event) -> None:
    """Draws the bars that workers report, until ``done`` and nothing is left to draw."""
    with contextlib.ExitStack() as stack:
        bars: Callable[[str, int], Bar] | None = None  # opened late: tasks may report nothing
        while True:
            try:
                title, finished, total, note = messages.get(timeout=RELAY_SECONDS)
            except queue.Empty:
                if done.is_set():
                    return
                continue
            bars = bars or stack.enter_context(reporter.bars())
            bars(title, total).at(finished, note, total)
