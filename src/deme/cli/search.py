"""``deme search``: merging weights for the experts of a run, or for experts that one has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .options import RUNS, DryRun, Output, Quiet, Set, print_plan

if TYPE_CHECKING:
    from ..runs import RunContext


@app.command()
def search(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SPEC|BASE",
            help="A YAML file or a recipe; with --expert: the pretrained model, a folder or hub "
            "id.",
        ),
    ],
    expert: Annotated[
        list[str] | None,
        typer.Option(
            "--expert",
            "-e",
            metavar="PATH[=LOW:HIGH]",
            help="A LoRA, weights file, pipeline or hub id, and the timesteps that it was trained "
            "on, LOW <= t < HIGH; none given: what its files note, or else all. Repeatable.",
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Real images: a folder, or a data set's name.")
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            help="Feature network: digits, inception, or a TorchScript file. With --expert and "
            "none given: digits for the bundled model or images, else inception."
        ),
    ] = None,
    images: Annotated[int | None, typer.Option(help="Images drawn for each candidate.")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="Of search and evaluation: ddim, ddpm, pndm, dpmsolver++.")
    ] = None,
    sampler_steps: Annotated[int | None, typer.Option(help="Of search and evaluation.")] = None,
    strategy: Annotated[str | None, typer.Option(help="surface, grid, tpe, cmaes, …")] = None,
    objective: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[=C,…]", help="frechet, kid, loss, …; `frechet=1,loss=10` for a sum."
        ),
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Candidates beside the anchors; none given: the strategy's.")
    ] = None,
    bounds: Annotated[
        str | None,
        typer.Option(metavar="LOW:HIGH", help="Of the weights; -0.5:1.5 allows negative ones."),
    ] = None,
    per: Annotated[
        str | None, typer.Option(help="A weight for each expert, or scale, or block.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the noise that the search draws.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes side by side.", min=1)] = None,
    evaluate: Annotated[
        bool | None,
        typer.Option(
            "--evaluate/--no-evaluate",
            help="Whether to judge the result on noise and images that the search did not see. "
            "None given: with --expert yes, with a SPEC no (`deme run` does).",
        ),
    ] = None,
    overrides: Set = [],  # noqa: B006  # typer needs a list and does not change it
    output: Output = RUNS,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Find merging weights; write the merged pipeline and a report.

    `deme search BASE --expert PATH=LOW:HIGH …` takes experts that another trainer made: LoRAs in
    PEFT's, diffusers' or kohya's names, weights files, pipelines. `deme search SPEC` takes the
    experts of a configuration, training those that are not there yet.

    Example: `deme search base --expert a.safetensors=0:400 --expert b.safetensors=400:800
    --expert c.safetensors=800:1000 --data images/`
    """
    from ..runs import RunContext, RunStore
    from ..runs.ad_hoc import SearchRequest
    from ..runs.progress import Reporter

    options: dict[str, str | int | None] = {
        "data": data,
        "detector": detector,
        "images": images,
        "sampler": sampler,
        "sampler_steps": sampler_steps,
        "strategy": strategy,
        "objective": objective,
        "evaluations": evaluations,
        "bounds": bounds,
        "per": per,
        "seed": seed,
        "workers": workers,
    }
    spec = SearchRequest(target, tuple(expert or ()), options, tuple(overrides)).spec()
    context = RunContext(spec, RunStore(output, spec), Reporter(quiet=quiet))
    owners = ", ".join(f"{item.name} {item.timesteps}" for item in context.experts)
    context.reporter.say(f"detector: {spec.detector}\nexperts: {owners}")
    if dry_run:
        print_plan(context, output)
    else:
        run_and_report(context, judged=bool(expert) if evaluate is None else evaluate)


def run_and_report(context: RunContext, *, judged: bool) -> None:
    """Runs the stages, writes card and report, and prints what was found and where it is."""
    from rich.console import Console

    from ..files import read_json
    from ..report import build_report, results_table, search_lines, write_model_card
    from ..runs import run_job

    run_job(context, ["experts", "search", "merge", *(["validation", "evaluate"] * judged)])
    folder = context.store.path
    write_model_card(folder)
    report = build_report(folder)
    console = Console()
    for line in search_lines(read_json(folder / "search" / "result.json")):
        print(line)
    if judged:
        console.print(results_table(folder))
    console.print(f"merged pipeline: {folder / 'merged'}", soft_wrap=True)
    console.print(f"report:          {report}", soft_wrap=True)
