"""``deme evaluate``: a run's table, or any pipeline under a run's protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .options import RUNS, Output, Quiet, Set, Spec, open_run


@app.command()
def evaluate(
    spec: Spec,
    model: Annotated[
        str | None, typer.Option(help="Measure this pipeline instead, under the spec's protocol.")
    ] = None,
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    quiet: Quiet = False,
) -> None:
    """Measure on noise that the search never saw; every number carries its protocol.

    Without --model: all arms of the run (what is missing is made first).
    """
    from rich.console import Console

    from ..report import results_table
    from ..runs import run_job
    from ..runs.measuring import measure_pipeline

    context = open_run(spec, overrides, output, quiet)
    console = Console()
    if model is not None:
        console.print(measure_pipeline(context, model))
        return
    run_job(context)
    console.print(results_table(context.store.path))
