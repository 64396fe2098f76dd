"""The table of arms for a terminal."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from ..errors import StorageError
from .arm_table import ArmTable, Cell, arm_tables
from .numbers import count
from .run_folder import RunFolder

OUTCOME_STYLES = {"better": "green", "level": "dim", "worse": "red", "unknown": "dim"}


def results_table(run_folder: Path) -> Table:
    """All arms, mean ± deviation, with merged minus each arm below its number.

    Raises:
        StorageError: the run has not been evaluated, or a file is damaged.
    """
    evidence = RunFolder(run_folder).evidence
    if evidence is None:
        raise StorageError(
            f"{run_folder} has no metrics.json: the run has not been evaluated",
            fix="repeat `deme run`, or run `deme evaluate`",
        )
    tables = arm_tables(evidence)
    seeds = len(evidence.seeds)
    table = Table(
        title=f"{count(evidence.images)} images, {seeds} seed{'s' if seeds != 1 else ''}, "
        "mean ± deviation; below it merged minus that arm, paired; "
        "floor: real images against real images",
        title_style="dim",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    table.add_column("arm")
    for heading in tables[0].columns:
        table.add_column(heading, justify="right")
    table.add_column("models", justify="right")
    table.add_column("training steps", justify="right")
    for part in tables:
        _add_detector(table, part, named=len(tables) > 1)
    return table


def _add_detector(table: Table, part: ArmTable, *, named: bool) -> None:
    if named:
        table.add_section()
        table.add_row(Text(f"{part.detector} features", style="italic"))
    for row in part.rows:
        cells = [_cell(cell) for cell in row.cells]
        title = Text(row.arm.title, style="bold" if row.is_merged else "")
        costs = [count(row.arm.models), count(row.arm.training_steps)]
        table.add_row(title, *cells, *costs)
    if part.has_floor:
        floor = [Text(text or "–", style="dim") for text in part.floor]
        table.add_row(Text("floor", style="dim"), *floor)


def _cell(cell: Cell | None) -> Text:
    if cell is None:
        return Text("–", style="dim")
    text = Text(cell.text, style="bold" if cell.best else "")
    if cell.difference:
        text.append(f"\n{cell.difference}", style=f"not bold {OUTCOME_STYLES[cell.outcome]}")
    return text
