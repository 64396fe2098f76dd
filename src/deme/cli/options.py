"""Options that several verbs share, and what they open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..runs import RunContext

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
    from rich.console import Console
    from rich.table import Table

    from ..runs import plan

    estimate = plan(context, output)
    table = Table(show_header=False, box=None, padding=(0, 2))
    for what, amount in estimate.rows:
        table.add_row(what, amount)
    table.add_row("[bold]total time[/bold]", f"[bold]about {estimate.seconds / 60:.1f} min[/bold]")
    table.add_row("run folder", str(context.store.path))
    Console().print(table)
