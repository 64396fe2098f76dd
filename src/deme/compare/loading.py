"""From a YAML file, or a shipped comparison's name, to a CompareSpec."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..config import parse_config
from ..errors import ConfigError
from ..runs.overrides import apply_override
from ..runs.recipes import load_values
from ..runs.shipped import Shipped
from .spec import CompareSpec

JOINED = "give two folders or more to join them in one table, or one comparison's YAML file"


COMPARISONS = Shipped("deme.compare.recipes", "comparison", prefix="compare-")


def list_comparisons() -> dict[str, str]:
    """Shipped comparisons: name to the first comment line, which says what each is."""
    return COMPARISONS.names()


def load_comparison(source: str, overrides: Sequence[str] = ()) -> CompareSpec:
    """Reads a comparison from a YAML file, or a shipped one by its name.

    Args:
        source: a path, or a name such as `digits`.
        overrides: `dotted.key=value`, the value in YAML.

    Raises:
        ConfigError: no such file or name, YAML that does not parse, or keys and values that are not
            valid; the message names each with its choices.

    """
    fix = JOINED if Path(source).expanduser().is_dir() else None
    values = COMPARISONS.values(source, fix=fix)
    values["run"] = _run_values(values.get("run"), str(values["name"]))
    for override in overrides:
        apply_override(values, override)
    if isinstance(values["run"], dict):
        values["run"]["name"] = values["name"]  # an override may have changed it
    return parse_config(CompareSpec, values)


def _run_values(given: Any, name: str) -> dict[str, Any]:
    """The shared run, in full: a recipe's name, or a mapping that may override one."""
    if given is None:
        raise ConfigError(
            "The comparison names no run", fix="add `run: digits`, or a mapping with `recipe:`"
        )
    if isinstance(given, str):
        given = {"recipe": given}
    if not isinstance(given, Mapping):
        raise ConfigError(f"run must be a recipe's name or a mapping, not {given!r}")
    own = dict(given)
    values = load_values(str(own.pop("recipe"))) if "recipe" in own else {}
    return {**_overlaid(values, own), "name": name}


def _overlaid(values: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Keys of ``own`` over ``values``, section by section."""
    merged = dict(values)
    for key, value in own.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _overlaid(before, value)
        merged[key] = value
    return merged
