"""``deme decouple``: the experts only."""

from __future__ import annotations

from typing import Annotated

import typer

from .app import app
from .options import RUNS, DryRun, Output, Quiet, Set, Spec, open_run, print_plan


@app.command()
def decouple(
    spec: Spec,
    expert: Annotated[
        list[int] | None,
        typer.Option(help="Train only this expert (0 owns the lowest timesteps); repeatable."),
    ] = None,
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train the experts, one per timestep range; `deme run` goes on from there.

    Experts share nothing, so they can be trained at the same time on different machines. One
    expert on many GPUs: `accelerate launch -m deme decouple my.yaml --expert 2`.
    """
    from ..runs.stages.train import train_experts

    context = open_run(spec, overrides, output, quiet)
    if dry_run:
        print_plan(context, output)
        return
    if context.accelerator.is_main_process:
        context.store.prepare()
    context.accelerator.wait_for_everyone()
    try:
        train_experts(context, expert)
    finally:
        context.workers.close()
    if context.accelerator.is_main_process:
        print(context.store.path / "experts")
