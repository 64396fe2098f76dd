"""``deme init``: a commented configuration to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError
from .app import app


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The YAML file to write.")] = Path("deme.yaml"),
    recipe: Annotated[
        str | None, typer.Option(help="Start from this shipped recipe instead.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a configuration with every key, its default and what it means."""
    from ..files import atomic_path
    from ..runs.recipes import list_recipes, recipe_text
    from ..runs.template import commented_template

    if path.exists() and not force:
        raise ConfigError(f"{path} exists", fix="choose another name, or give --force")
    if recipe is not None and recipe not in list_recipes():
        raise ConfigError(f"Unknown recipe {recipe!r}", choices=list_recipes(), given=recipe)
    with atomic_path(path) as partial:
        partial.write_text(recipe_text(recipe) if recipe else commented_template(), "utf-8")
    print(f"{path}: edit model and data, then `deme run {path} --dry-run`")
