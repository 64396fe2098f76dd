"""``deme sample``: images from a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import app
from .options import Quiet


@app.command()
def sample(
    model: Annotated[str, typer.Argument(help="A pipeline folder, hub id, or `digits`.")],
    images: Annotated[int, typer.Option(help="How many images.", min=1)] = 16,
    sampler: Annotated[str, typer.Option(help="ddim, ddpm, pndm or dpmsolver++.")] = "ddim",
    steps: Annotated[int, typer.Option(help="Sampler steps.", min=1)] = 50,
    seed: Annotated[int, typer.Option(help="Image i depends on (seed, i) alone.")] = 0,
    label: Annotated[
        int | None, typer.Option(help="Class of a class-conditional model; none: all in turn.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Images at once.", min=1)] = 64,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNGs.")] = Path(
        "samples"
    ),
    quiet: Quiet = False,
) -> None:
    """Draw images, one seed each; PNGs and a grid. The same command resumes.

    Over many GPUs: `accelerate launch -m deme sample MODEL --images 50000`.
    """
    from ..runs.progress import Reporter
    from ..runs.sampling_job import SampleJob, sample_to_folder

    job = SampleJob(
        model=model,
        images=images,
        sampler=sampler,
        steps=steps,
        seed=seed,
        label=label,
        batch_size=batch_size,
    )
    sample_to_folder(job, output, Reporter(quiet=quiet))
    print(output)
