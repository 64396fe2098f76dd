"""A user's own merge methods, from a Python file that a recipe names."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from ..errors import ConfigError
from ..files import hash_bytes, hash_file
from .methods import MERGE_METHODS
from .provenance import require_hash
from .recipe import MergeRecipe, located


def with_method_file(recipe: MergeRecipe, folder: Path, allow_code: bool) -> MergeRecipe:
    """Runs the recipe's own Python file, if it has one; the recipe with the file's hash.

    Args:
        recipe: the recipe.
        folder: what its relative paths start from.
        allow_code: whether the file may be run.

    Raises:
        ConfigError: it may not be run, is none, fails, or registers nothing.
        MismatchError: another file than the recipe's hash names.

    """
    if recipe.method_file is None:
        return recipe
    file = Path(located(recipe.method_file, folder))
    if not file.is_file():
        raise ConfigError(f"There is no method_file {file}", fix="give a Python file that is here")
    if not allow_code:
        raise ConfigError(
            f"The recipe runs the code of {file}", fix="read it, then add --allow-code"
        )
    found = hash_file(file)
    require_hash(str(file), recipe.method_hash, found)
    _run(file)
    return recipe.model_copy(update={"method_hash": found})


def _run(file: Path) -> None:
    # named by its place, so that an edited file replaces its own methods
    name = f"deme_method_{hash_bytes(str(file.resolve()).encode())[:16]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} is not a Python file", fix="name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for their annotations
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's code raises is told as theirs
        del sys.modules[name]
        raise ConfigError(f"{file} failed: {type(error).__name__}: {error}") from error
    if not any(method.function.__module__ == name for method in MERGE_METHODS.values()):
        raise ConfigError(
            f"{file} registers no merge method", fix="decorate its function with @merge_method"
        )
