"""Writes ``report.html``: one file, no network, light and dark."""

from __future__ import annotations

from pathlib import Path

from ..files import atomic_path
from .numbers import count
from .page import read_page
from .run_folder import RunFolder

REPORT = "report.html"


def build_report(run_folder: Path) -> Path:
    """Writes the report of a run, also of one that is still under way.

    What the run has not made yet is left out, and the page says so. The same files give the same
    bytes.

    Returns:
        The path of ``report.html`` in the run folder.

    Raises:
        StorageError: there is no such folder, a file in it is damaged, or it cannot be written.
        DataError: a file's content does not fit together.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    page = read_page(RunFolder(run_folder))
    environment = Environment(
        loader=PackageLoader("deme.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["thousands"] = count
    html = environment.get_template("report.html.j2").render(page=page)
    target = run_folder / REPORT
    with atomic_path(target) as partial:
        partial.write_text(html, "utf-8")
    return target
