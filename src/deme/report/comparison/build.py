"""Writes all that a comparison shows for itself, from ``compare.json`` and the images."""

from __future__ import annotations

from pathlib import Path

from ...files import atomic_path
from ..numbers import count
from .comma_separated import arms_csv, values_csv
from .figures import comparison_picture
from .latex import comparison_latex
from .markdown import comparison_markdown
from .page import read_page
from .record import ComparisonRecord, read_comparison

REPORT = "report.html"


def build_comparison(folder: Path) -> list[Path]:
    """Writes the report, the tables and the picture, also while the comparison is under way.

    Arms that are not judged yet are shown as pending. The same files give the same bytes.

    Args:
        folder: the comparison's, with ``compare.json`` and, once there are images, ``samples/``.

    Returns:
        What was written, the report first: ``report.html``, ``table.md``, ``table.tex``,
        ``table.csv``, ``arms.csv``, and ``comparison.png`` where there is something to draw.

    Raises:
        StorageError: there is no ``compare.json``, a file is damaged, or one cannot be written.
        DataError: images are there that cannot be shown.

    """
    record = read_comparison(folder)
    contents = {
        "table.md": comparison_markdown(record).encode(),
        "table.tex": comparison_latex(record).encode(),
        "table.csv": values_csv(record).encode(),
        "arms.csv": arms_csv(record).encode(),
        "comparison.png": comparison_picture(record),
    }
    written = [_write(folder / name, data) for name, data in contents.items() if data is not None]
    # last: the page links to those that are there
    return [_write(folder / REPORT, _html(folder, record).encode()), *written]


def _html(folder: Path, record: ComparisonRecord) -> str:
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loaders = [
        PackageLoader("deme.report.comparison", "templates"),
        PackageLoader("deme.report", "templates"),
    ]
    environment = Environment(
        loader=ChoiceLoader(loaders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = count
    template = environment.get_template("comparison.html.j2")
    return template.render(page=read_page(folder, record))


def _write(target: Path, data: bytes) -> Path:
    with atomic_path(target) as partial:
        partial.write_bytes(data)
    return target
