"""The table of merge methods. Registering returns the function unchanged."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from ...errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Tensor])
REQUIRED = ("base", "deltas", "weights")


@dataclass(frozen=True)
class RegisteredMethod:
    """A merge method and what its signature and decorator say of it."""

    name: str
    function: Callable[..., Tensor]
    paper: str
    parameters: dict[str, Any]
    """Names and defaults of what it takes beside base, deltas and weights."""


MERGE_METHODS: dict[str, RegisteredMethod] = {}


def merge_method(*, paper: str) -> Callable[[Function], Function]:
    """Registers ``function(base, deltas, weights, **parameters)`` under its own name.

    Args:
        paper: whom to cite.

    Raises:
        ConfigError: its first three parameters are not base, deltas and weights, one of the others
            has no default, or another function is registered under its name.

    """

    def register(function: Function) -> Function:
        signature = inspect.signature(function).parameters
        if tuple(signature)[:3] != REQUIRED:
            raise ConfigError(
                f"The merge method {function.__name__} takes {tuple(signature)[:3]}",
                fix=f"let its first parameters be {REQUIRED}",
            )
        extra = {name: item.default for name, item in list(signature.items())[3:]}
        for name, default in extra.items():
            if default is inspect.Parameter.empty:
                raise ConfigError(
                    f"The parameter {name!r} of the merge method {function.__name__} has no "
                    "default",
                    fix="name each parameter and give it a default",
                )
        known = MERGE_METHODS.get(function.__name__)
        if known is not None and known.function.__module__ != function.__module__:
            raise ConfigError(
                f"A merge method {function.__name__} is registered by {known.function.__module__}",
                fix="give the function another name",
            )
        MERGE_METHODS[function.__name__] = RegisteredMethod(
            function.__name__, function, paper, extra
        )
        return function

    return register


def get_merge_method(name: str) -> RegisteredMethod:
    """The registered method called ``name``.

    Raises:
        ConfigError: there is none; the message lists the choices.

    """
    if name not in MERGE_METHODS:
        raise ConfigError(f"Unknown merge_method {name!r}", choices=MERGE_METHODS, given=name)
    return MERGE_METHODS[name]
