"""The table of arms for a terminal; it may be printed while the comparison is under way."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from ..console import OUTCOME_STYLES
from ..numbers import count, plain
from .record import ComparisonRecord, read_comparison
from .tables import Cell, QualityTable, Row, quality_tables
from .verdict import comparison_verdict


def comparison_table(folder: Path) -> Table:
    """Every arm that is judged so far, and those that are pending, a line for each.

    The main metric stands with its deviation and with the paired difference and its interval, the
    other metrics with their means alone; colours say whether the reference is better. In 80
    columns the interval breaks.

    Raises:
        StorageError: there is no ``compare.json``, or it is not what deme writes.

    """
    record = read_comparison(folder)
    tables = quality_tables(record)
    verdict = comparison_verdict(record)
    table = Table(
        title=_legend(record),
        title_style="dim",
        title_justify="left",
        caption=verdict.headline,
        caption_style=OUTCOME_STYLES[verdict.outcome],
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("arm", no_wrap=True)
    first, *others = map(_heading, tables[0].columns)
    table.add_column(first, justify="right", no_wrap=True)
    table.add_column("difference", justify="right")  # the one that may break in a narrow terminal
    for heading in others:
        table.add_column(heading, justify="right", no_wrap=True)
    for part in tables:
        _add_detector(table, part, named=len(tables) > 1)
    return table


def _legend(record: ComparisonRecord) -> str:
    training, noise = len(record.training_seeds), len(record.noise_seeds)
    over = "training" if training > 1 else "noise"
    return (
        f"{training} training × {noise} noise seeds, {count(record.images)} images each; ± over "
        f"{over} seeds; difference: {record.reference_title} minus the arm, paired; ×n: models"
    )


def _heading(text: str) -> str:
    """On two lines where it is wider than its numbers."""
    return text if len(text) < 8 else text.replace(" ", "\n", 1)


def _add_detector(table: Table, part: QualityTable, *, named: bool) -> None:
    if named:
        table.add_section()
        seen = "" if part.seen else "\n(unseen by search)"
        table.add_row(Text(f"{part.detector} features{seen}", style="italic"))
    for row in part.rows:
        table.add_row(_title(row), *_main(row.cells[0], row), *_others(row, part))
    if part.has_floor:
        floor = [Text(_narrow(text or "–"), style="dim") for text in part.floor]
        table.add_row(Text("floor", style="dim"), floor[0], "", *map(_mean_of_floor, floor[1:]))


def _title(row: Row) -> Text:
    """The arm, and how many models it needs where that is more than one."""
    if row.arm is None:
        return Text(row.title, style="dim")
    title = Text(row.title, style="bold" if row.is_reference else "")
    if row.arm.models is not None and row.arm.models > 1:
        title.append(f" ×{row.arm.models}", style="not bold dim")
    return title


def _main(cell: Cell | None, row: Row) -> tuple[Text, Text]:
    """The main metric, and the reference minus this arm in it."""
    if cell is None:
        return Text("pending" if row.arm is None else "–", style="dim"), Text("")
    text = Text(_narrow(cell.text), style="bold" if cell.best else "")
    ends = f" ({cell.interval})" if cell.interval else ""
    return text, Text(f"{cell.difference}{ends}", style=OUTCOME_STYLES[cell.outcome])


def _others(row: Row, part: QualityTable) -> list[Text]:
    """The other metrics' means, in the colour of the reference against this arm."""
    found = []
    for cell, digits in zip(row.cells[1:], part.digits[1:], strict=True):
        if cell is None:
            found.append(Text("" if row.arm is None else "–", style="dim"))
            continue
        plainly = row.is_reference or cell.outcome in ("level", "unknown")
        style = "" if plainly else OUTCOME_STYLES[cell.outcome]
        bold = "bold " if cell.best else ""
        found.append(Text(plain(cell.number.mean, digits), style=f"{bold}{style}".strip()))
    return found


def _mean_of_floor(text: Text) -> Text:
    return Text(text.plain.partition(" ")[0], style="dim")


def _narrow(text: str) -> str:
    """One space less, for 80 columns."""
    return text.replace(" ± ", " ±")
