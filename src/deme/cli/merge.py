"""``deme merge``: given experts and given weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import Quiet


@app.command()
def merge(
    base: Annotated[
        str | None,
        typer.Argument(
            metavar="BASE", help="The pretrained model: a folder, hub id or file; or a recipe."
        ),
    ] = None,
    experts: Annotated[
        list[str] | None,
        typer.Argument(metavar="EXPERTS", help="Pipelines, weights files, LoRAs, hub ids."),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            "--weight",
            "-w",
            help="One per expert, any sign; none given: 1/N each. With rules: "
            "`0.3,attention=0.1,down=0.5`.",
        ),
    ] = None,
    merge_method: Annotated[
        str, typer.Option("--merge-method", "-m", help="See `deme merge --methods`.")
    ] = "task_arithmetic",
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="Such as density=0.5."),
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="How to store: float32, float16, bfloat16, or the base's own.")
    ] = "float32",
    seed: Annotated[int, typer.Option(help="For methods that draw.")] = 0,
    variant: Annotated[
        str | None, typer.Option(help="The base's weight file variant, such as fp16.")
    ] = None,
    again: Annotated[
        Path | None,
        typer.Option("--from", help="A merged model: repeat its merge, to the same bytes."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The new model; none given: merged.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an output that exists.")
    ] = False,
    max_shard_size: Annotated[
        float, typer.Option(help="Split files of weights from so many GB on.", min=0.000001)
    ] = 10.0,
    workers: Annotated[
        int | None, typer.Option(help="Threads; none given: one a core.", min=1)
    ] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the recipe's own method_file.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long, and stop.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --dry-run: every tensor and its numbers.")
    ] = False,
    methods: Annotated[
        bool, typer.Option("--methods", help="List the merge methods and their parameters.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Add experts' weight differences onto a pretrained model: θ + Σ w·(θ_expert − θ).

    Examples: `deme merge google/ddpm-church-256 e0 e1 e2 e3 -w 0.1 -w 0.1 -w 0.2 -w 0.5`,
    `deme merge recipe.yaml`, `deme merge --from merged/ -o again`.
    """
    from ..merge.describing import describe_methods
    from ..merge.job import MergeJob, MergeRequest

    if methods:
        print_rows(describe_methods())
        return
    if as_json and not dry_run:
        raise typer.BadParameter("--json goes with --dry-run")
    request = MergeRequest(
        base=base,
        experts=tuple(experts or ()),
        weights=tuple(weight or ()),
        merge_method=merge_method,
        parameters=tuple(parameter or ()),
        dtype=dtype,
        seed=seed,
        variant=variant,
        again=again,
    )
    job = MergeJob(
        request,
        output,
        only_tried=dry_run,
        allow_code=allow_code,
        overwrite=overwrite,
        workers=workers,
        max_shard_bytes=int(max_shard_size * 1e9),
    )
    if dry_run:
        if as_json:
            print(json.dumps(job.plan_values(), indent=2))
        else:
            print_rows(job.describe())
        return
    from ..runs.progress import Reporter

    reporter = Reporter(quiet=quiet)
    with reporter.bar("merging", job.megabytes) as bar:
        result = job.run(lambda done, total: bar.at(done, "MB"))
    for line in result:
        reporter.say(line)
    print(job.output)


def print_rows(rows: list[tuple[str, str]]) -> None:
    """Prints rows of (what, how much)."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2))
    for what, amount in rows:
        table.add_row(escape(what), escape(amount))
    Console().print(table)
