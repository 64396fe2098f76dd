"""``deme compare``: every arm under one protocol, at one budget, in one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import RUNS, Output, Quiet, Set


@app.command()
def compare(
    spec: Annotated[
        list[str],
        typer.Argument(
            metavar="SPEC|FOLDER…",
            help="A YAML file, or a shipped comparison (digits); or several folders of "
            "comparisons, to join them.",
        ),
    ],
    reference: Annotated[
        str | None, typer.Option(help="The arm that all others are compared with.")
    ] = None,
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    quiet: Quiet = False,
) -> None:
    """Compare ways to finetune: each tuned alike, trained at one budget, judged on the same noise.

    Writes report.html, table.md, table.tex, table.csv and a picture. Every arm is a run in the
    store: one that is there is not run again, and the same command resumes.

    Examples: `deme compare digits` · `deme compare my.yaml --set run.decouple.steps=500` ·
    `deme compare runs/mine-1a2b3c4d runs/theirs-5e6f7a8b`
    """
    from rich.console import Console

    from ..report import build_comparison, comparison_table

    console = Console()
    if len(spec) > 1:
        from ..compare import join_folders

        folder = join_folders([Path(name) for name in spec], output, reference)
        console.print(comparison_table(folder))
    else:
        chosen = [f"reference={reference}"] if reference is not None else []
        folder = _compare(spec[0], [*chosen, *overrides], output, quiet)
    for path in build_comparison(folder):
        console.print(str(path), soft_wrap=True)


def _compare(spec: str, overrides: list[str], output: Path, quiet: bool) -> Path:
    """Runs a comparison, showing the table each time it grows; returns its folder."""
    from rich.console import Console

    from ..compare import Comparison, load_comparison, open_comparison, run_comparison
    from ..report import comparison_table
    from ..runs import RunStore
    from ..runs.progress import Reporter

    loaded = load_comparison(spec, overrides)
    comparison = open_comparison(loaded, RunStore(output, loaded.run), Reporter(quiet=quiet))
    folder = comparison.context.store.path

    def show(_: Comparison) -> None:
        Console().print(comparison_table(folder))

    run_comparison(comparison, show)
    return folder
