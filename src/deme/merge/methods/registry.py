"""The table of merge methods. Registering returns the function unchanged."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from torch import Tensor

from ...errors import ConfigError

Function = TypeVar("Function", bound=Callable[..., Tensor])
Statistics = Literal["fisher", "regmean"]
REQUIRED = ("base", "deltas", "weights")
PER_EXPERT = "Sequence[float]"


@dataclass(frozen=True)
class RegisteredMethod:
    """A merge method and what its signature and decorator say of it."""

    name: str
    function: Callable[..., Tensor]
    paper: str
    parameters: dict[str, Any]
    """Names and defaults of what a recipe may set beside base, deltas and weights."""
    per_expert: frozenset[str]
    """Those that may be given once for each expert: annotated with ``Sequence[float]``."""
    elementwise: bool
    """Each element of the result depends on the same element of the inputs alone."""
    linear: bool
    """The result is ``θ + Σ c_i τ_i`` with numbers ``c_i`` that do not depend on the tensors."""
    statistics: Statistics | None
    """What ``deme statistics`` collects for it, given as the keyword ``statistics``."""


MERGE_METHODS: dict[str, RegisteredMethod] = {}


def merge_method(
    *,
    paper: str,
    elementwise: bool = False,
    linear: bool = False,
    statistics: Statistics | None = None,
) -> Callable[[Function], Function]:
    """Registers ``function(base, deltas, weights, **parameters)`` under its own name.

    The function gets one tensor of the model: ``base`` (θ) and each of ``deltas`` (τ_i) float32
    and of one shape, ``weights`` one number per expert. It returns a new tensor of that shape and
    changes none that it was given. Its other parameters, each with a default, are what a recipe
    may set. Three are special: one annotated with ``Sequence[float]`` may be set for each expert;
    ``seed`` is made for each tensor from the recipe's, so that no result depends on the order of
    the tensors; ``statistics`` gets what was collected for each expert.

    Args:
        paper: whom to cite.
        elementwise: each element of the result depends on the same element of the inputs alone,
            so that large tensors may be given in pieces, flattened.
        linear: the result is ``θ + Σ c_i τ_i``, so that a merge can be undone.
        statistics: what must have been collected for each expert.

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
        extra = {name: item for name, item in list(signature.items())[3:] if name != "statistics"}
        for name, item in extra.items():
            if item.default is inspect.Parameter.empty:
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
            function.__name__,
            function,
            paper,
            {name: item.default for name, item in extra.items()},
            frozenset(name for name, item in extra.items() if PER_EXPERT in str(item.annotation)),
            elementwise,
            linear,
            statistics,
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
