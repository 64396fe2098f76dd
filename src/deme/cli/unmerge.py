"""``deme unmerge``: one expert out of a merge again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import Quiet


@app.command()
def unmerge(
    merged: Annotated[Path, typer.Argument(help="A model that `deme merge` wrote.")],
    expert: Annotated[
        str, typer.Option("--expert", "-e", help="Which: its place in the recipe from 0, or name.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The expert's new folder.")],
    base: Annotated[
        str | None, typer.Option(help="The pretrained model, if it is elsewhere now.")
    ] = None,
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Run the recipe's own method_file.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Threads; none given: one a core.", min=1)
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Get an expert back from the merged model, the base and the other experts.

    The weights are the expert's to float rounding; the recipe beside the merged model says which
    models belong to it, and others are refused.
    """
    from ..merge.unmerge_job import unmerge
    from ..runs.progress import Reporter

    reporter = Reporter(quiet=quiet)
    with reporter.bar("unmerging", 1) as bar:
        recipe = unmerge(
            merged,
            expert,
            output,
            base=base,
            allow_code=allow_code,
            workers=workers,
            progress=lambda done, total: bar.at(done, "MB", total),
        )
    rounding = "float rounding" if recipe.dtype == "float32" else f"{recipe.dtype} rounding, coarse"
    reporter.say(f"expert {expert} of {merged}, to {rounding}")
    print(output)
