"""A merge method with a recipe's settings: what it does to one tensor of one component."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError, DemeError
from ..randomness import derive_seed
from .methods import RegisteredMethod, get_merge_method
from .places import TensorPlace
from .recipe import MergeRecipe
from .settings import Setting, check_setting, resolve, resolve_number

WEIGHT = "weight"
SEED = "seed"
LAMBDA = "lambda_"


@dataclass(frozen=True)
class TensorMethod:
    """A merge method with the numbers for one tensor."""

    method: RegisteredMethod
    weights: tuple[float, ...]
    parameters: Mapping[str, Any]

    def __call__(
        self, base: Tensor, deltas: Sequence[Tensor], statistics: Sequence[Tensor | None] = ()
    ) -> Tensor:
        """The merged tensor: float32, of the base's shape, newly made.

        Args:
            base: ``θ``, float32.
            deltas: ``τ_i``, float32, of the base's shape.
            statistics: what was collected for each expert, where the method needs it.

        """
        parameters = dict(self.parameters)
        if self.method.statistics is not None:
            parameters["statistics"] = statistics
        try:
            merged = self.method.function(base, deltas, self.weights, **parameters)
        except DemeError:
            raise
        except Exception as error:  # a user's own function may raise anything
            raise ConfigError(
                f"The merge method {self.method.name} ({self.method.function.__module__}) failed: "
                f"{type(error).__name__}: {error}"
            ) from error
        if merged.shape != base.shape:
            raise ConfigError(
                f"The merge method {self.method.name} gave a tensor of shape {tuple(merged.shape)} "
                f"for one of {tuple(base.shape)}",
                fix="let it return a tensor like base",
            )
        return merged


@dataclass(frozen=True)
class BoundMethod:
    """A merge method with a recipe's settings for each expert."""

    method: RegisteredMethod
    experts: tuple[Mapping[str, Setting], ...]
    """Each expert's ``weight`` and own parameters."""
    parameters: Mapping[str, Setting] = field(default_factory=dict)
    """Parameters for all experts."""
    seed: int = 0

    def __post_init__(self) -> None:
        known = self.method.parameters
        for name in self.parameters:
            _require_known(self.method.name, name, [n for n in known if n != SEED])
        for settings in self.experts:
            for name in settings:
                _require_known(self.method.name, name, [WEIGHT, *sorted(self.method.per_expert)])

    @classmethod
    def of(cls, recipe: MergeRecipe) -> BoundMethod:
        """The method of a recipe; experts without a weight get 1/N.

        Raises:
            ConfigError: unknown method or parameter.

        """
        method = get_merge_method(recipe.merge_method)
        equal = 1 / len(recipe.models)
        experts = tuple({WEIGHT: equal, **_named(s.parameters)} for s in recipe.models)
        return cls(method, experts, _named(recipe.parameters), recipe.seed)

    @classmethod
    def with_weights(
        cls,
        method: str,
        weights: Sequence[Setting],
        parameters: Mapping[str, Setting] | None = None,
    ) -> BoundMethod:
        """A method by name with one weight for each expert.

        Raises:
            ConfigError: unknown method or parameter.

        """
        experts = tuple({WEIGHT: weight} for weight in weights)
        return cls(get_merge_method(method), experts, _named(parameters or {}))

    def check_rules(self, places: Sequence[TensorPlace]) -> None:
        """Checks that every rule does something.

        Args:
            places: all tensors of the base, also of the components that stay as they are.

        Raises:
            ConfigError: a rule that meets no tensor.

        """
        for settings in (self.parameters, *self.experts):
            for setting in settings.values():
                check_setting(setting, places)

    def probe(self, places: Sequence[TensorPlace]) -> None:
        """Tries each combination of numbers on a small tensor, before anything long begins.

        Raises:
            ConfigError: a value that the method refuses, or a tensor that no rule is for.

        """
        example = torch.linspace(-1, 1, 12).view(4, 3)
        deltas = [example.roll(i) for i in range(len(self.experts))]
        collected = torch.eye(3) if self.method.statistics == "regmean" else example.abs()
        seen: set[str] = set()
        for place in places:
            numbers = self.at(place)
            parameters = {k: v for k, v in numbers.parameters.items() if k != SEED}
            combination = f"{numbers.weights} {parameters}"
            if combination not in seen:
                seen.add(combination)
                numbers(example, deltas, [collected] * len(deltas))

    def at(self, place: TensorPlace) -> TensorMethod:
        """The method with the numbers for one tensor.

        Raises:
            ConfigError: rules of which none is for this tensor.

        """
        weights = tuple(resolve_number(settings[WEIGHT], place) for settings in self.experts)
        parameters: dict[str, Any] = {}
        for name in self.method.parameters:
            if any(name in settings for settings in self.experts):
                default = self.parameters.get(name, self.method.parameters[name])
                parameters[name] = [
                    resolve(settings.get(name, default), place) for settings in self.experts
                ]
            elif name == SEED:
                parameters[name] = derive_seed(self.seed, "merge", place.component, place.name)
            elif name in self.parameters:
                parameters[name] = resolve(self.parameters[name], place)
        return TensorMethod(self.method, weights, parameters)


def _named(settings: Mapping[str, Setting]) -> dict[str, Setting]:
    """Mergekit's ``lambda``, which is no name in Python, under the methods' own."""
    return {LAMBDA if name == "lambda" else name: value for name, value in settings.items()}


def _require_known(method: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise ConfigError(f"{method} has no parameter {name!r}", choices=known, given=name)
