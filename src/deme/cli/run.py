"""``deme run``: the whole job."""

from __future__ import annotations

from .app import app
from .options import RUNS, DryRun, Output, Quiet, Set, Spec, open_run, print_plan


@app.command()
def run(
    spec: Spec,
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Decouple, search, merge, evaluate and report: a better pipeline, with the evidence.

    The result is RUN/merged, which plain diffusers loads, and RUN/report.html. The same command
    resumes a run that was stopped, however it was stopped.

    Examples: `deme run digits` · `deme run my.yaml --set decouple.steps=500` ·
    `deme run cifar10 --dry-run`
    """
    from rich.console import Console

    from ..report import build_report, results_table, write_model_card
    from ..runs import run_job

    context = open_run(spec, overrides, output, quiet)
    if dry_run:
        print_plan(context, output)
        return
    run_job(context)
    folder = context.store.path
    write_model_card(folder)
    report = build_report(folder)
    console = Console()
    console.print(results_table(folder))
    console.print(f"better pipeline: {folder / 'merged'}", soft_wrap=True)
    console.print(f"report:          {report}", soft_wrap=True)
