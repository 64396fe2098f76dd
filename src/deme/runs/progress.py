"""Progress on long work: one bar for the stage at hand, on the main process only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column


class Reporter:
    """Says what a run is doing.

    Args:
        quiet: print nothing but errors.

    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, message: str) -> None:
        """One line."""
        self.console.print(message)

    @contextlib.contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """A bar of ``total`` units with a note and the time left."""
        with self.bars() as bars:
            yield bars(title, total)

    @contextlib.contextmanager
    def bars(self) -> Iterator[Callable[[str, int], Bar]]:
        """Several bars at once, by their titles; each is made when first asked for."""
        columns = (
            TextColumn("{task.description:<22}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=12),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[note]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(
                compact=True, elapsed_when_finished=True, table_column=Column(no_wrap=True)
            ),
        )
        with Progress(*columns, console=self.console, disable=self.quiet) as progress:
            known: dict[str, Bar] = {}

            def named(title: str, total: int) -> Bar:
                if title not in known:
                    known[title] = Bar(progress, progress.add_task(title, total=total, note=""))
                return known[title]

            yield named


class Bar:
    """A bar under way."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def at(self, done: int, note: str | None = "", total: int | None = None) -> None:
        """``done`` units are finished; a note of None keeps the one that is there."""
        if note is None:
            self._progress.update(self._task, completed=done, total=total)
        else:
            self._progress.update(self._task, completed=done, total=total, note=note)

    def advance(self, units: int) -> None:
        """``units`` more are finished."""
        self._progress.advance(self._task, units)
