r"""The tables in LaTeX: one ``table`` for each detector, with booktabs' rules."""

from __future__ import annotations

import math
import re

from ..evidence import Number, higher_is_better, metric_title
from .quantities import NOT_KNOWN, counted, milliseconds, short
from .record import ComparisonRecord
from .tables import Cell, QualityTable, Row, quality_tables

PREAMBLE = "% needs \\usepackage{booktabs}; compiles with pdfLaTeX, XeLaTeX and LuaLaTeX\n"

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\n": " ",
    "\t": " ",
    "\u00a0": "~",
    "\u202f": r"\,",
    "–": "--",
    "—": "---",
    "…": r"\ldots{}",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "−": "$-$",
    "→": r"$\to$",
    "≤": r"$\le$",
    "≥": r"$\ge$",
    "∞": r"$\infty$",
    "²": "$^2$",
    "³": "$^3$",
    "ᾱ": r"$\bar\alpha$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "δ": r"$\delta$",
    "ε": r"$\varepsilon$",
    "η": r"$\eta$",
    "θ": r"$\theta$",
    "κ": r"$\kappa$",
    "λ": r"$\lambda$",
    "μ": r"$\mu$",
    "π": r"$\pi$",
    "ρ": r"$\rho$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
    "φ": r"$\varphi$",
    "ω": r"$\omega$",
    "Δ": r"$\Delta$",
    "Σ": r"$\Sigma$",
}
"""What pdfLaTeX cannot read as it stands. Letters of other scripts than these and Latin stay as
they are: XeLaTeX and LuaLaTeX set them."""


def comparison_latex(record: ComparisonRecord) -> str:
    """A table for each detector: arms by metrics, mean ± deviation, the best bold.

    The caption is the protocol, as a paper must state it.
    """
    tables = [_table(record, table) for table in quality_tables(record)]
    return PREAMBLE + "\n".join(tables)


def latex(text: str) -> str:
    r"""Text that LaTeX sets as it stands, in a moving argument as well."""
    return "".join(_SPECIAL.get(letter, letter) for letter in text)


def _table(record: ComparisonRecord, table: QualityTable) -> str:
    arrows = [r"$\uparrow$" if higher_is_better(m) else r"$\downarrow$" for m in table.metrics]
    titles = [latex(metric_title(metric)) for metric in table.metrics]
    headings = [f"{title} {arrow}" for title, arrow in zip(titles, arrows, strict=True)]
    lines = [
        r"\begin{table}[t]",
        r"\centering",
        r"\small",
        rf"\caption{{{_caption(record, table)}}}",
        rf"\label{{tab:{_label(record.name)}-{_label(table.detector)}}}",
        rf"\begin{{tabular}}{{l{'r' * len(headings)}rrr}}",
        r"\toprule",
        _row_of(["Arm", *headings, "Models", "Parameters", "ms a sample"]),
        r"\midrule",
        *(_row_of(_cells(row, table)) for row in table.rows),
    ]
    if table.has_floor:
        found = [record.floor_of(table.detector, metric) for metric in table.metrics]
        pairs = zip(found, table.digits, strict=True)
        floor = [_number(number, digits) if number else NOT_KNOWN for number, digits in pairs]
        floor = ["--" if text == NOT_KNOWN else text for text in floor]
        lines += [r"\midrule", _row_of([r"\emph{floor: real against real}", *floor, "", "", ""])]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _caption(record: ComparisonRecord, table: QualityTable) -> str:
    over = "training" if len(record.training_seeds) > 1 else "noise"
    seen = "the search's detector" if table.seen else "a detector that the search never saw"
    parts = [
        f"{record.name}: mean ± deviation over {over} seeds, {table.detector} features ({seen}).",
        f"Training seeds {_listed(record.training_seeds)}, "
        f"noise seeds {_listed(record.noise_seeds)}, {record.images} images each.",
        f"{record.plan.count} trials and {record.budget.images} training images for each arm.",
        f"Protocol{'' if table.seen else f' (for {record.detectors[0]})'}: {record.protocol}.",
    ]
    return latex(" ".join(parts))


def _listed(seeds: tuple[int, ...]) -> str:
    return ", ".join(map(str, seeds))


def _label(text: str) -> str:
    """Letters, digits and dashes alone: anything else may not stand in a label."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()


def _cells(row: Row, table: QualityTable) -> list[str]:
    title = rf"\textbf{{{latex(row.title)}}}" if row.is_reference else f"{{{latex(row.title)}}}"
    if row.arm is None:
        return [title, *["pending"] * len(row.cells), "", "", ""]
    cells = [_cell(cell, digits) for cell, digits in zip(row.cells, table.digits, strict=True)]
    costs = [
        counted(row.arm.models),
        short(row.arm.parameters),
        milliseconds(row.arm.seconds_per_sample),
    ]
    return [title, *cells, *map(latex, costs)]


def _cell(cell: Cell | None, digits: int) -> str:
    if cell is None:
        return "--"
    text = _number(cell.number, digits)
    return rf"\textbf{{{text}}}" if cell.best else text


def _number(number: Number, digits: int) -> str:
    r"""``$12.31 \pm 0.42$``; \boldmath would need a package, so the caller makes text bold."""
    mean = _plain(number.mean, digits)
    if math.isnan(number.deviation):
        return mean
    return f"{mean} $\\pm$ {_plain(number.deviation, digits)}"


def _plain(value: float, digits: int) -> str:
    if not math.isfinite(value):
        return "not finite"
    text = f"{value:.{digits}f}"
    return f"$-${text[1:]}" if text.startswith("-") and float(text) != 0 else text.lstrip("-")


def _row_of(cells: list[str]) -> str:
    return f"{' & '.join(cells)} \\\\"
