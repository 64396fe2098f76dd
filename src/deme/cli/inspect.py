"""``deme inspect``: what models are made of, and how experts differ."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from .app import app
from .options import Quiet

SOON = 5 * 10**7
"""Elements of a model that is done before a bar would be of use."""


@app.command()
def inspect(
    model: Annotated[
        str, typer.Argument(help="A pipeline or component folder, hub id, file, or `digits`.")
    ],
    experts: Annotated[
        list[str] | None,
        typer.Argument(metavar="EXPERTS", help="Experts of it: pipelines, files, LoRAs, hub ids."),
    ] = None,
    variant: Annotated[
        str | None, typer.Option(help="The first model's weight file variant, such as fp16.")
    ] = None,
    revision: Annotated[
        str | None, typer.Option(help="The first model's branch, tag or commit on the hub.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, by component, block and kind, as JSON.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Say what a model is made of; and of experts, how far and where they went from it.

    Classes, sizes, dtypes, NaN and Inf, norms by block; of experts the size of their task vectors
    θ_expert − θ, their cosines, conflicting signs, and what half precision would leave of them.

    Examples: `deme inspect digits`, `deme inspect digits runs/*/experts/*`
    """
    from rich.console import Console

    from ..merge.inspection import inspect_models, inspection_tables, inspection_values
    from ..merge.sources.opening import open_expert, open_model
    from ..runs.progress import Reporter

    base = open_model(model, variant=variant, revision=revision)
    opened = [open_expert(expert, base) for expert in experts or []]
    elements = sum(
        info.numel for source in base.components.values() for info in source.layout.values()
    )
    soon = elements < SOON
    with Reporter(quiet=quiet or soon).bar("inspecting", elements // 10**6) as bar:
        found = inspect_models(
            base, opened, progress=lambda done: bar.at(done // 10**6, "M parameters")
        )
    if as_json:
        print(json.dumps(inspection_values(found), indent=2, allow_nan=False))
    else:
        Console().print(inspection_tables(found))
