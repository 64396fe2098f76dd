"""``--set key=value``: changes of a configuration before it is validated."""

from __future__ import annotations

from typing import Any

import yaml

from ..config import set_override
from ..errors import ConfigError

SHORT_FORMS = {"model": "path", "data": "dataset"}
"""Sections that a plain string stands for, and the key that it then is."""


def apply_override(values: dict[str, Any], override: str) -> None:
    """Sets one key, in place.

    Args:
        values: the configuration, not validated yet.
        override: ``dotted.key=value``, the value in YAML.

    Raises:
        ConfigError: it is not of that form, or a key on the way is no section.

    """
    key, equals, value = override.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(
            f"--set {override!r} is not of the form key=value",
            fix="write for example --set decouple.steps=500",
        )
    section, dot, _ = key.partition(".")
    if dot and section in SHORT_FORMS and isinstance(values.get(section), str):
        values[section] = {SHORT_FORMS[section]: values[section]}
    set_override(values, key, _parse_value(value, override))


def _parse_value(text: str, override: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override!r}: the value is not valid YAML") from error
    quoted = text.lstrip().startswith(("'", '"'))
    if isinstance(value, str) and not quoted:  # YAML reads 2e-4 as a string: it wants 2.0e-4
        try:
            return float(value)
        except ValueError:
            return value
    return value
