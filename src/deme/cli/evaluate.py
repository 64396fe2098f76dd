"""``deme evaluate``: a run's table, or any pipeline under a run's protocol."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .options import RUNS, Output, Quiet, Set, Spec, open_run


def _list_protocols(asked: bool) -> None:
    """Prints the named protocols and ends; before anything else is asked for."""
    if not asked:
        return
    from ..metrics.named_protocols import NAMED_PROTOCOLS

    for protocol in NAMED_PROTOCOLS.values():
        typer.echo(protocol.name)
        typer.echo("".join(f"  {line}\n" for line in protocol.describe().splitlines()))
    raise typer.Exit


@app.command()
def evaluate(
    spec: Spec,
    model: Annotated[
        str | None, typer.Option(help="Measure this pipeline instead, under the spec's protocol.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A published protocol; what contradicts it is refused."),
    ] = None,
    intervals: Annotated[
        bool | None,
        typer.Option(
            "--intervals/--no-intervals",
            help="A 95 % interval for every number. [default: with --model]",
        ),
    ] = None,
    list_protocols: Annotated[
        bool,
        typer.Option(
            "--protocols",
            callback=_list_protocols,
            is_eager=True,
            help="List the published protocols.",
        ),
    ] = False,
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    quiet: Quiet = False,
) -> None:
    """Measure on noise that the search never saw; every number carries its protocol.

    Without --model: all arms of the run (what is missing is made first).
    """
    from rich.console import Console

    from ..metrics import IntervalSettings
    from ..report import results_table
    from ..runs import run_job
    from ..runs.measuring import arms_table, measure_pipeline

    if protocol is not None:
        overrides = [*overrides, f"evaluate.protocol={protocol}"]
    context = open_run(spec, overrides, output, quiet)
    console = Console()
    if model is not None:
        wanted = None if intervals is False else IntervalSettings()
        console.print(measure_pipeline(context, model, wanted))
        return
    run_job(context)
    console.print(results_table(context.store.path))
    if intervals:
        console.print(arms_table(context, IntervalSettings()))
