"""``deme statistics``: what `fisher` and `regmean` need to know of an expert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import typer

from .app import app
from .options import Quiet


@app.command()
def statistics(
    expert: Annotated[str, typer.Argument(help="The expert's pipeline folder or hub id.")],
    kind: Annotated[str, typer.Option(help="fisher or regmean: the merge method they are for.")],
    data: Annotated[str, typer.Option(help="Images: a folder, hub id, or `digits`.")],
    split: Annotated[str, typer.Option(help="The data set's split.")] = "train",
    min_timestep: Annotated[
        int | None, typer.Option(help="First timestep that it owns; ours say it.", min=0)
    ] = None,
    max_timestep: Annotated[
        int | None, typer.Option(help="End of its range, not included; none given: the model's.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Draws of image, timestep, noise.", min=1)] = 256,
    batch_size: Annotated[int, typer.Option(help="Samples at once, for regmean.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="What the draws derive from.")] = 0,
    max_features: Annotated[
        int, typer.Option(help="regmean: layers of more inputs are merged by the mean.", min=1)
    ] = 4096,
    output: Annotated[Path, typer.Option("--output", "-o", help="The new file.")] = Path(
        "statistics.safetensors"
    ),
    quiet: Quiet = False,
) -> None:
    """Measure an expert on images at the timesteps that it owns.

    Name the file as `statistics` of the expert in a recipe of `deme merge`.

    Example: `deme statistics low --kind fisher --data digits --max-timestep 250 -o low.safetensors`
    """
    from ..config import parse_config
    from ..data import DataConfig
    from ..merge.statistics.job import statistics_to_file
    from ..runs.progress import Reporter

    reporter = Reporter(quiet=quiet)
    with reporter.bar(kind, samples) as bar:
        collected = statistics_to_file(
            expert,
            parse_config(DataConfig, {"dataset": data, "split": split}),
            output,
            kind=cast(Any, kind),
            min_timestep=min_timestep,
            max_timestep=max_timestep,
            samples=samples,
            batch_size=batch_size,
            seed=seed,
            max_features=max_features,
            progress=bar.at,
        )
    reporter.say(f"{len(collected.tensors)} tensors measured at {samples} samples")
    for name, reason in collected.description.skipped.items():
        reporter.say(f"{name}: {reason}; merged by the mean")
    print(output)
