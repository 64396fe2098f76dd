"""The tables in Markdown, for documents and issue threads."""

from __future__ import annotations

from collections.abc import Sequence

from ..numbers import count
from .costs import COST_COLUMNS, budget_sentences, cost_rows
from .quantities import counted
from .record import ComparisonRecord
from .tables import Cell, QualityTable, Row, quality_tables
from .tuning import tuning_sentences
from .verdict import comparison_verdict, intervals_text


def comparison_markdown(record: ComparisonRecord) -> str:
    """The verdict, a table for each detector with the floor last, the costs, and the protocol."""
    verdict = comparison_verdict(record)
    deviations = "training" if len(record.training_seeds) > 1 else "noise"
    legend = f"Mean ± deviation over {deviations} seeds; the best mean is bold."
    parts = [f"**{_plain(verdict.headline)}**"]
    for table in quality_tables(record):
        seen = "the search's detector" if table.seen else "a detector that the search never saw"
        parts += [f"Features: {_plain(table.detector)} ({seen})", _table(table)]
    parts += [
        _plain(" ".join(filter(None, [legend, intervals_text(record)]))),
        _costs(record),
        _plain(" ".join([*budget_sentences(record), *tuning_sentences(record)])),
        _plain(f"Protocol: {record.protocol}"),
    ]
    if record.notes:
        parts.append("\n".join(f"- {_plain(note)}" for note in record.notes))
    return "\n\n".join(parts) + "\n"


def _table(table: QualityTable) -> str:
    lines = _head(["arm", *table.columns, "models", "parameters"])
    lines += [_line(_row(row)) for row in table.rows]
    if table.has_floor:
        floor = [text or "–" for text in table.floor]
        lines.append(_line(["*floor: real against real*", *floor, "", ""]))
    return "\n".join(lines)


def _row(row: Row) -> list[str]:
    if row.arm is None:
        return [row.title, *["pending"] * len(row.cells), "", ""]
    title = f"**{row.title}**" if row.is_reference else row.title
    costs = [counted(row.arm.models), count(row.arm.parameters)]
    return [title, *map(_cell, row.cells), *costs]


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    text = f"**{cell.text}**" if cell.best else cell.text
    if not cell.difference:
        return text
    ends = f", {cell.interval}" if cell.interval else ""
    return f"{text} ({cell.difference}{ends})"


def _costs(record: ComparisonRecord) -> str:
    lines = _head(["arm", *COST_COLUMNS])
    lines += [_line([row.title, *row.cells]) for row in cost_rows(record)]
    return "\n".join(lines)


def _head(headings: Sequence[str]) -> list[str]:
    return [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)])]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_plain(cell).replace("|", "\\|") for cell in cells) + " |"


def _plain(text: str) -> str:
    """On one line, without the letters that begin an HTML element."""
    return " ".join(text.replace("<", "&lt;").split(" ")).replace("\n", " ")
