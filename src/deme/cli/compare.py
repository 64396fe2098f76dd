"""``deme compare``: every arm under one protocol, at one budget, in one table."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .options import RUNS, Output, Quiet, Set


@app.command()
def compare(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC", help="A YAML file, or a shipped comparison's name (digits)."
        ),
    ],
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    quiet: Quiet = False,
) -> None:
    """Compare ways to finetune: each tuned alike, trained at one budget, judged on the same noise.

    Writes report.html, table.md, table.tex, table.csv and a picture. Every arm is a run in the
    store: one that is there is not run again, and the same command resumes.

    Examples: `deme compare digits` · `deme compare my.yaml --set run.decouple.steps=500`
    """
    from rich.console import Console

    from ..compare import Comparison, load_comparison, open_comparison, run_comparison
    from ..report import build_comparison, comparison_table
    from ..runs import RunStore
    from ..runs.progress import Reporter

    loaded = load_comparison(spec, overrides)
    comparison = open_comparison(loaded, RunStore(output, loaded.run), Reporter(quiet=quiet))
    folder = comparison.context.store.path
    console = Console()

    def show(_: Comparison) -> None:
        console.print(comparison_table(folder))

    run_comparison(comparison, show)
    for path in build_comparison(folder):
        console.print(str(path), soft_wrap=True)
