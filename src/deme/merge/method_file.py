"""A user's own merge methods, from a Python file that a recipe names."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from ..errors import ConfigError
from ..files import hash_file
from .methods import MERGE_METHODS


def run_method_file(path: str, allow_code: bool) -> None:
    """Runs a user's own Python file, which registers its merge methods.

    Raises:
        ConfigError: it may not be run, is none, fails, or registers nothing.

    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"There is no method_file {path}", fix="give a Python file that is here")
    if not allow_code:
        raise ConfigError(
            f"The recipe runs the code of {path}", fix="read it, then add --allow-code"
        )
    name = f"deme_method_{hash_file(file)[:16]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{path} is not a Python file", fix="name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    before = set(MERGE_METHODS)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a user's code raises is told as theirs
        raise ConfigError(f"{path} failed: {type(error).__name__}: {error}") from error
    if not set(MERGE_METHODS) - before and not any(
        m.function.__module__ == name for m in MERGE_METHODS.values()
    ):
        raise ConfigError(
            f"{path} registers no merge method", fix="decorate its function with @merge_method"
        )
