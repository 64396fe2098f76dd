"""The base of every configuration class: frozen, unknown keys forbidden, errors that teach."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

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
        lines = dict.fromkeys(_explain(kind, detail) for detail in error.errors())
        raise ConfigError("\n".join(["The configuration is not valid:", *lines])) from None


def _explain(kind: type[Config], detail: ErrorDetails) -> str:
    path = _keys(kind, detail)
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
    elif detail["type"] in ("model_type", "dict_type"):
        message = "must be a section of keys and values"
    where = f"  {key}: " if key else "  "
    given = (
        "" if isinstance(detail["input"], Mapping | Config) else f" (given: {detail['input']!r})"
    )
    return f"{where}{message.rstrip('.')}{given}.{hint}"


def _keys(kind: type[Config], detail: ErrorDetails) -> list[str]:
    """The keys that lead to the error, as the user wrote them.

    pydantic adds the name of each type that a union tried; no user wrote that.
    """
    current: type[BaseModel] | None = kind
    keys = []
    in_union = False
    for place, part in enumerate(detail["loc"]):
        field = None if current is None else current.model_fields.get(str(part))
        last_of_unknown = detail["type"] == "extra_forbidden" and place == len(detail["loc"]) - 1
        if field is not None:
            current, in_union = _config_class(field.annotation), _is_union(field.annotation)
        elif isinstance(part, str) and in_union and not last_of_unknown:
            continue
        keys.append(str(part))
    return keys


def fields_at(kind: type[Config], path: Sequence[str]) -> set[str]:
    """Names of the fields of the nested configuration class that ``path`` leads to.

    Indices of lists are passed over; empty where the path leads to no configuration class.
    """
    current: type[BaseModel] = kind
    for part in path:
        field = current.model_fields.get(part)
        if field is None:
            continue
        inner = _config_class(field.annotation)
        if inner is None:
            return set()
        current = inner
    return set(current.model_fields)


def _config_class(annotation: Any) -> type[BaseModel] | None:
    """The first configuration class in an annotation: itself, of an option or of a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in typing.get_args(annotation):
        if found := _config_class(part):
            return found
    return None


def _is_union(annotation: Any) -> bool:
    """Whether more than one type other than None is allowed."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return False
    return len([part for part in typing.get_args(annotation) if part is not type(None)]) > 1


def set_override(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Sets ``values["a"]["b"]`` for the dotted key ``a.b``, in place; ``a.0.b`` reaches a list.

    Raises:
        ConfigError: a key on the way is a plain value, or a list without that entry.

    """
    *parents, last = dotted.split(".")
    current: Any = values
    for depth, parent in enumerate(parents):
        if isinstance(current, dict) and current.get(parent) is None:
            current[parent] = {}
        current = _inside(current, parent, dotted)
        if not isinstance(current, dict | list):
            raise ConfigError(
                f"--set {dotted}: {'.'.join(parents[: depth + 1])} is {current!r}, "
                "not a section of keys and values"
            )
    if isinstance(current, list):
        _inside(current, last, dotted)
        current[int(last)] = value
    else:
        current[last] = value


def _inside(container: Any, key: str, dotted: str) -> Any:
    if isinstance(container, dict):
        return container[key]
    if not key.isdecimal() or int(key) >= len(container):
        raise ConfigError(
            f"--set {dotted}: {key!r} is no entry of a list of {len(container)}",
            choices=range(len(container)),
        )
    return container[int(key)]


__all__ = ["Config", "fields_at", "parse_config", "set_override"]
