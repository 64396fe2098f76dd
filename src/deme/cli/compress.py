"""``deme compress``: an expert as a small file, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import Quiet


@app.command()
def compress(
    base: Annotated[str, typer.Argument(help="The model that the expert was finetuned from.")],
    expert: Annotated[str, typer.Argument(help="The expert; with --expand, the compressed file.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The new file; with --expand, the new folder.")
    ],
    max_error: Annotated[
        float | None,
        typer.Option(help="Relative error of the difference, such as 0.05; none given: every bit."),
    ] = None,
    expand: Annotated[
        bool, typer.Option("--expand", help="Write the expert's own weights again.")
    ] = False,
    variant: Annotated[
        str | None, typer.Option(help="The base's weight file variant, such as fp16.")
    ] = None,
    min_timestep: Annotated[
        int | None, typer.Option(help="First timestep that the expert owns; ours say it.", min=0)
    ] = None,
    max_timestep: Annotated[
        int | None, typer.Option(help="End of its range, not included.", min=1)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads; none given: one a core.", min=1)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Keep an expert as its difference from the base: exactly, or to a stated error.

    The file is an expert for `deme merge`. Examples: `deme compress BASE EXPERT -o e0.safetensors
    --max-error 0.05`, and back: `deme compress BASE e0.safetensors --expand -o e0/`.
    """
    from ..merge.compression import compress_expert, expand_expert
    from ..merge.ownership import owned_timesteps
    from ..merge.sources.opening import open_expert, open_model
    from ..runs.progress import Reporter

    reporter = Reporter(quiet=quiet)
    model = open_model(base, variant=variant)
    if expand:
        expand_expert(model, Path(expert), output, workers=workers)
        print(output)
        return
    source = open_expert(expert, model)
    low, high = owned_timesteps(source)
    tensors = sum(len(component.layout) for component in source.components.values())
    with reporter.bar("compressing", tensors) as bar:
        report = compress_expert(
            model,
            source,
            output,
            max_error=max_error,
            min_timestep=low if min_timestep is None else min_timestep,
            max_timestep=high if max_timestep is None else max_timestep,
            workers=workers,
            progress=bar.advance,
        )
    for line in report.lines():
        reporter.say(line)
    print(output)
