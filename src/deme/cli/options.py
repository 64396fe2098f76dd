"""Options that several verbs share, and what they open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..runs import Plan, RunContext

Spec = Annotated[
    str,
    typer.Argument(
        metavar="SPEC", help="A YAML file, or a shipped recipe's name (digits, cifar10, …)."
    ),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Override a key, e.g. --set decouple.steps=500."
    ),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="The folder that holds runs.", show_default=True)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print results and errors only.")]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what it would cost (steps, memory, disk, time), and stop."),
]
RUNS = Path("runs")


def open_run(spec: str, overrides: list[str], output: Path, quiet: bool) -> RunContext:
    """The context of the run that these options mean."""
    from ..runs import RunContext, RunStore, load_spec
    from ..runs.progress import Reporter

    loaded = load_spec(spec, overrides)
    return RunContext(loaded, RunStore(output, loaded), Reporter(quiet=quiet))


def print_plan(context: RunContext, output: Path) -> None:
    """Prints what a run would cost."""
    from ..runs import plan

    print_estimate(plan(context, output), context.store.path)


def print_estimate(estimate: Plan, folder: Path) -> None:
    """Prints a plan, and the folder that it is of."""
    from rich.console import Console
    from rich.table import Table

    from ..runs.plan import duration

    table = Table(show_header=False, box=None, padding=(0, 2))
    for what, amount in estimate.rows:
        table.add_row(what, amount)
    table.add_row("[bold]total time[/bold]", f"[bold]{duration(estimate.seconds)}[/bold]")
    table.add_row("run folder", str(folder))
    Console().print(table)
