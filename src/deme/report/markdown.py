"""The table of arms in Markdown, for model cards and issue threads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .arm_table import ArmTable, Row, arm_tables
from .evidence import Evidence
from .numbers import count


def results_markdown(metrics: Mapping[str, Any]) -> str:
    """A table for each detector: mean ± deviation, the difference to merged, the floor last.

    Args:
        metrics: what ``metrics.json`` holds.

    Raises:
        StorageError: it is not what deme writes.
    """
    tables = arm_tables(Evidence.from_mapping(metrics))
    parts = []
    for table in tables:
        heading = f"Features: {table.detector}\n\n" if len(tables) > 1 else ""
        parts.append(heading + _table(table))
    return "\n\n".join(parts) + "\n"


def _table(table: ArmTable) -> str:
    headings = ["arm", *table.columns, "models", "parameters", "training steps"]
    lines = [_line(headings), _line(["---", *["---:"] * (len(headings) - 1)])]
    lines += [_line(_row(row)) for row in table.rows]
    if table.has_floor:
        floor = [text or "–" for text in table.floor]
        lines.append(_line(["*floor: real against real*", *floor, "", "", ""]))
    return "\n".join(lines)


def _row(row: Row) -> list[str]:
    strong = "**" if row.is_merged else ""
    cells = []
    for cell in row.cells:
        difference = f" ({cell.difference})" if cell and cell.difference else ""
        cells.append("–" if cell is None else f"{strong}{cell.text}{strong}{difference}")
    arm = row.arm
    costs = [count(arm.models), count(arm.parameters), count(arm.training_steps)]
    return [f"{strong}{arm.title}{strong}", *cells, *costs]


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
