"""``deme pretrain``: a denoiser from scratch, or on from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .app import app
from .options import RUNS, DryRun, Output, Quiet, Set

if TYPE_CHECKING:
    from ..runs.pretrain_spec import PretrainSpec

ROUNDS = 10
"""The most rounds of ``--until-plateau`` where the configuration says 1."""


@app.command()
def pretrain(
    spec: Annotated[
        str,
        typer.Argument(
            metavar="SPEC", help="A YAML file, or a shipped pretraining (fashion-mnist, …)."
        ),
    ],
    to: Annotated[
        Path | None, typer.Option(help="Copy the trained pipeline there at the end.")
    ] = None,
    until_plateau: Annotated[
        bool,
        typer.Option(
            "--until-plateau",
            help="Train in rounds of training.steps until another does not lower the Fréchet "
            "distance by more than its noise; needs a detector.",
        ),
    ] = False,
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Train a denoiser on all timesteps, in the loop that trains experts: a diffusers pipeline.

    The result is RUN/pretrained, which plain diffusers loads and a run's `model` may name, with
    RUN/samples.png, RUN/loss.png and RUN/metrics.json. The same command resumes.

    Examples: `deme pretrain fashion-mnist --to models/fashion-mnist` ·
    `deme pretrain my.yaml --set training.steps=5000 --dry-run`
    """
    from rich.console import Console

    from ..runs.pretrain import Pretraining, copy_result, run_pretraining
    from ..runs.pretrain_loading import load_pretraining
    from ..runs.progress import Reporter

    loaded = load_pretraining(spec, [*overrides, *_plateau(until_plateau, spec, overrides)])
    if dry_run:
        _print_plan(loaded, output, quiet)
        return
    pretraining = Pretraining(loaded, output, Reporter(quiet=quiet))
    record = run_pretraining(pretraining)
    if not record:  # a process beside the main one
        return
    if to is not None:
        copy_result(pretraining.result, to)
    console = Console()
    _print_record(console, record)
    place = to if to is not None else pretraining.result
    console.print(f"pipeline: {place}", soft_wrap=True)
    console.print(f"pictures: {pretraining.store.path}", soft_wrap=True)


def _plateau(wanted: bool, spec: str, overrides: list[str]) -> list[str]:
    """The override that ``--until-plateau`` is, unless the configuration has rounds already."""
    from ..runs.pretrain_loading import load_pretraining

    if not wanted or load_pretraining(spec, overrides).plateau.rounds > 1:
        return []
    return [f"plateau.rounds={ROUNDS}"]


def _print_plan(spec: PretrainSpec, output: Path, quiet: bool) -> None:
    from ..runs.pretrain_plan import plan_pretraining
    from ..runs.progress import Reporter
    from .options import print_estimate

    estimate, folder = plan_pretraining(spec, output, Reporter(quiet=quiet))
    print_estimate(estimate, folder)


def _print_record(console: Any, record: dict[str, Any]) -> None:
    """The rounds and the numbers."""
    from rich.table import Table

    for number, found in enumerate(record["rounds"], start=1):
        change = "" if "change" not in found else f", {found['change']:+.4g}"
        error = (
            "" if "change" not in found else f" ± {found['standard_error']:.2g} (standard error)"
        )
        verdict = "" if found["helped"] else ": no gain, the round before is kept"
        line = f"round {number}: distance {found['mean']:.4g}{change}{error}{verdict}"
        console.print(line, soft_wrap=True)
    if record["rounds"] and record["rounds"][-1]["helped"]:
        console.print("the last round still helped: this is no plateau yet")
    if not record["metrics"]:
        return
    table = Table(caption=record["protocol"])
    for heading in ("detector", "metric", "mean ± deviation", "floor"):
        table.add_column(heading)
    for detector, metrics in record["metrics"].items():
        for name, found in metrics.items():
            mean = f"{found['mean']:.4g} ± {found['std']:.2g}"
            table.add_row(detector, name, mean, f"{found['floor']:.4g}")
    console.print(table)
