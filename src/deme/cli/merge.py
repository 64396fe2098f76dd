"""``deme merge``: given experts and given weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app


@app.command()
def merge(
    base: Annotated[str, typer.Argument(help="The pretrained pipeline: a folder or hub id.")],
    experts: Annotated[list[Path], typer.Argument(help="Expert pipelines or weights files.")],
    weight: Annotated[
        list[float] | None,
        typer.Option("--weight", "-w", help="One per expert, any sign; none given: 1/N each."),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The new pipeline.")] = Path(
        "merged"
    ),
    merge_method: Annotated[str, typer.Option(help="Merge method.")] = "task_arithmetic",
) -> None:
    """Add experts' weight differences onto a pretrained pipeline: θ + Σ w·(θ_expert − θ).

    Example: `deme merge google/ddpm-church-256 e0 e1 e2 e3 -w 0.1 -w 0.1 -w 0.2 -w 0.5`
    """
    from ..denoisers import load_denoiser
    from ..merge import MergeSource, write_merge

    weights = weight or [1 / len(experts)] * len(experts)
    sources = [
        MergeSource(model=str(path), weight=value)
        for path, value in zip(experts, weights, strict=False)
    ]
    if len(weights) != len(experts):
        raise typer.BadParameter(
            f"{len(experts)} experts need {len(experts)} weights, not {len(weights)}"
        )
    write_merge(load_denoiser(base), sources, output, method=merge_method)
    print(output)
