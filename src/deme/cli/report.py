"""``deme report``: the HTML report and the model card, anew."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from .app import app


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="A run's folder: runs/<name>-<hash>.")],
) -> None:
    """Write report.html and the model card of a run anew, from what is in its folder."""
    from ..report import build_report, write_model_card

    if not (run / "spec.yaml").is_file():
        found = [str(path.parent) for path in Path("runs").glob("*/spec.yaml")]
        raise ConfigError(
            f"{run} is not a run's folder: it has no spec.yaml", choices=found, given=str(run)
        )
    if (run / "merged").is_dir():
        write_model_card(run)
    print(build_report(run))
