"""Progress on long work: one bar for the stage at hand, on the main process only."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
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
        """A bar of ``total`` units with a note, time spent and time left."""
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
            yield Bar(progress, progress.add_task(title, total=total, note=""))


class Bar:
    """A bar under way."""

    def __init__(self, progress: Progress, task: object) -> None:
        self._progress = progress
        self._task = task

    def at(self, done: int, note: str = "", total: int | None = None) -> None:
        """``done`` units are finished."""
        extra = {} if total is None else {"total": total}
        self._progress.update(self._task, completed=done, note=note, **extra)  # type: ignore[arg-type]

    def advance(self, units: int) -> None:
        """``units`` more are finished."""
        self._progress.advance(self._task, units)  # type: ignore[arg-type]
