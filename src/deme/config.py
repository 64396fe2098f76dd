"""The base of every configuration class: frozen, unknown keys forbidden, errors that teach."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from .errors import ConfigError, nearest

ConfigT = TypeVar("ConfigT", bound="Config")


class Config(BaseModel):
    """A part of the configuration. Each room defines its own; ``runs`` composes them."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def parse_config(kind: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Validates ``values`` against a configuration class.

    Raises:
        ConfigError: listing every wrong key with its value, the choices and the nearest name.

    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        lines = [_explain(kind, detail) for detail in error.errors()]
        raise ConfigError("\n".join(["The configuration is not valid:", *lines])) from None


def _explain(kind: type[Config], detail: ErrorDetails) -> str:
    path = [str(part) for part in detail["loc"]]
    key = ".".join(path)
    if detail["type"] == "extra_forbidden":
        valid = sorted(fields_at(kind, path[:-1]))
        near = nearest(path[-1], valid)
        hint = f" Did you mean {near!r}?" if near else ""
        return f"  {key}: unknown key.{hint} Valid keys here: {', '.join(valid)}."
    if detail["type"] == "missing":
        return f"  {key}: required and not given. Fix: add it to the YAML, or --set {key}=…"
    message = detail["msg"].removeprefix("Value error, ")
    hint = ""
    expected = detail.get("ctx", {}).get("expected")
    if detail["type"] == "literal_error" and isinstance(expected, str):
        choices = [part.strip(" '") for part in expected.replace(" or ", ", ").split(",")]
        near = nearest(str(detail["input"]), choices)
        hint = f" Did you mean {near!r}?" if near else ""
        message = f"must be one of {', '.join(choices)}"
    where = f"  {key}: " if key else "  "
    given = (
        "" if isinstance(detail["input"], Mapping | Config) else f" (given: {detail['input']!r})"
    )
    return f"{where}{message.rstrip('.')}{given}.{hint}"


def fields_at(kind: type[Config], path: Sequence[str]) -> set[str]:
    """Names of the fields of the nested configuration class that ``path`` leads to."""
    current: type[BaseModel] = kind
    for part in path:
        field = current.model_fields.get(part)
        inner = None if field is None else _config_class(field.annotation)
        if inner is None:
            break
        current = inner
    return set(current.model_fields)


def _config_class(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for option in typing.get_args(annotation):
            if found := _config_class(option):
                return found
    return None


def set_override(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets ``values["a"]["b"]`` for the dotted key ``a.b``, in place."""
    *parents, last = dotted.split(".")
    for parent in parents:
        inner = values.get(parent)
        if not isinstance(inner, dict):
            inner = values[parent] = {}
        values = inner
    values[last] = value


__all__ = ["Config", "Literal", "fields_at", "parse_config", "set_override"]
