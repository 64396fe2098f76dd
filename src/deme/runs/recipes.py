"""From a YAML file or a shipped recipe's name, with overrides, to a RunSpec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import parse_config
from .overrides import apply_override
from .shipped import Shipped
from .spec import RunSpec

RECIPES = Shipped(
    "deme.recipes",
    "recipe",
    "`deme init my.yaml` writes a commented configuration to start from",
)


def list_recipes() -> dict[str, str]:
    """Shipped recipes: name to the first comment line, which says what each is."""
    return RECIPES.names()


def recipe_text(name: str) -> str:
    """The YAML of a shipped recipe."""
    return RECIPES.text(name)


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
    return RECIPES.values(source)
