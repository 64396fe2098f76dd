"""The table of arms for a terminal."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from ..analysis import SearchRecord
from ..errors import StorageError
from .arm_table import ArmTable, Cell, Row, arm_tables
from .numbers import count
from .run_folder import RunFolder
from .search_lines import search_line

OUTCOME_STYLES = {"better": "green", "level": "dim", "worse": "red", "unknown": "dim"}


def results_table(run_folder: Path) -> Table:
    """All arms, mean ± deviation, with merged minus each arm below its number; 80 columns do.

    Below the table stands what the search found, where there was one.

    Raises:
        StorageError: the run has not been evaluated, or a file is damaged.
    """
    run = RunFolder(run_folder)
    evidence = run.evidence
    if evidence is None:
        raise StorageError(
            f"{run_folder} has no metrics.json: the run has not been evaluated",
            fix="repeat `deme run`, or run `deme evaluate`",
        )
    tables = arm_tables(evidence)
    seeds = len(evidence.seeds)
    table = Table(
        title=f"{count(evidence.images)} images, {seeds} seed{'s' if seeds != 1 else ''}: "
        "mean ±deviation; below it merged minus that arm, paired; "
        "floor: real images against real images",
        title_style="dim",
        title_justify="left",
        caption=None if run.search is None else search_line(SearchRecord.from_mapping(run.search)),
        caption_style="dim",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("arm", no_wrap=True)
    for heading in tables[0].columns:
        table.add_column(heading, justify="right")
    for part in tables:
        _add_detector(table, part, named=len(tables) > 1)
    return table


def _add_detector(table: Table, part: ArmTable, *, named: bool) -> None:
    if named:
        table.add_section()
        table.add_row(Text(f"{part.detector} features", style="italic"))
    for row in part.rows:
        table.add_row(_title(row), *(_cell(cell) for cell in row.cells))
    if part.has_floor:
        floor = [Text(_narrow(text or "–"), style="dim") for text in part.floor]
        table.add_row(Text("floor", style="dim"), *floor)


def _title(row: Row) -> Text:
    """The arm, and what it took below it."""
    models = f"{row.arm.models} model{'s' if row.arm.models != 1 else ''}"
    title = Text(row.arm.title, style="bold" if row.is_merged else "")
    costs = f"\n{models}, {count(row.arm.training_steps)} steps"
    return title.append(costs, style="not bold dim")


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("–", style="dim")
    text = Text(_narrow(cell.text), style="bold" if cell.best else "")
    if cell.difference:
        style = f"not bold {OUTCOME_STYLES[cell.outcome]}"
        text.append(f"\n{_narrow(cell.difference)}", style=style)
    return text


def _narrow(text: str) -> str:
    """One space less, for 80 columns, and the other one for a line that breaks all the same."""
    return text.replace(" ± ", " ±")
