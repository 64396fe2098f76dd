"""From a YAML file or a shipped recipe's name, with overrides, to a RunSpec."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ..config import parse_config
from ..errors import ConfigError
from .overrides import apply_override
from .spec import RunSpec


def list_recipes() -> dict[str, str]:
    """Shipped recipes: name to the first comment line, which says what each is."""
    found = {}
    for entry in resources.files("deme.recipes").iterdir():
        if entry.name.endswith(".yaml"):
            first = entry.read_text("utf-8").splitlines()[0]
            found[entry.name.removesuffix(".yaml")] = first.lstrip("# ").strip()
    return dict(sorted(found.items()))


def recipe_text(name: str) -> str:
    """The YAML of a shipped recipe."""
    return resources.files("deme.recipes").joinpath(f"{name}.yaml").read_text("utf-8")


def load_spec(source: str, overrides: Sequence[str] = ()) -> RunSpec:
    """Reads a spec from a YAML file, or a shipped recipe by its name.

    Args:
        source: a path, or a recipe's name such as `digits`.
        overrides: `dotted.key=value`, the value in YAML.

    Raises:
        ConfigError: no such file or recipe, YAML that does not parse, or keys and values that are
            not valid; the message names each with its choices.

    """
    values = load_values(source)
    for override in overrides:
        apply_override(values, override)
    return parse_config(RunSpec, values)


def load_values(source: str) -> dict[str, Any]:
    """The keys and values of a YAML file or a shipped recipe, its name among them.

    Raises:
        ConfigError: no such file or recipe, or YAML that does not parse.

    """
    path = Path(source).expanduser()
    recipes = list_recipes()
    if path.is_file():
        text, name = _read_text(path), path.stem
    elif source in recipes:
        text, name = recipe_text(source), source
    else:
        raise ConfigError(
            f"{source!r} is neither a YAML file here nor a shipped recipe",
            choices=recipes,
            given=source,
            fix="`deme init my.yaml` writes a commented configuration to start from",
        )
    values = parse_yaml(text, source)
    values.setdefault("name", name)
    return values


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Cannot read {path}: {error}") from error


def parse_yaml(text: str, source: str) -> dict[str, Any]:
    """A mapping from YAML; ``source`` names it in errors.

    Raises:
        ConfigError: it does not parse, or is no mapping.

    """
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(
            f"{source} is not a mapping of keys to values",
            fix="`deme init my.yaml` writes a commented configuration to start from",
        )
    return values
