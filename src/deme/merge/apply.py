"""Merging models that are in memory: a tensor at a time, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..errors import ConfigError, MismatchError
from .bound_method import BoundMethod
from .methods import RegisteredMethod, get_merge_method
from .places import TensorPlace, places_of
from .settings import Setting
from .state_dict import StateDict
from .statistics import ExpertStatistics
from .task_vector import TaskVector

DENOISER = "unet"
"""The component that weights in memory are of, unless another is named."""


def merge_weights(
    base: StateDict,
    vectors: Sequence[TaskVector],
    weights: Sequence[Setting],
    *,
    method: str = "task_arithmetic",
    parameters: Mapping[str, Setting] | None = None,
    component: str = DENOISER,
    statistics: Sequence[ExpertStatistics] = (),
) -> StateDict:
    """The merged weights; arithmetic in float32, each tensor returned in the base's dtype.

    Args:
        base: ``θ``.
        vectors: ``τ_i``.
        weights: ``w_i``, one per vector, of any sign: a number, a gradient over depth, or rules by
            block and layer kind.
        method: name of a registered merge method.
        parameters: what the method takes beside.
        component: which part of a pipeline these are the weights of, for rules that name one.
        statistics: what was collected of each expert, where the method needs it.

    Raises:
        ConfigError: unknown method, unknown parameter, a wrong number of weights, or no statistics
            for a method that needs them.
        MismatchError: a task vector of another model, or a result that is not finite.

    """
    _require_same_layout(base, vectors)
    places = places_of(component, base)
    bound = bind_in_memory(method, weights, parameters, len(vectors))
    _require_statistics(bound.method, statistics)
    return _merge(base, vectors, bound, places, statistics)


def bind_in_memory(
    method: str,
    weights: Sequence[Setting],
    parameters: Mapping[str, Setting] | None,
    experts: int,
) -> BoundMethod:
    """A merge method with its settings, for weights in memory.

    Args:
        method: name of a registered merge method.
        weights: ``w_i``, one for each expert.
        parameters: what the method takes beside.
        experts: how many there are.

    Raises:
        ConfigError: unknown method, unknown parameter, or a wrong number of weights.

    """
    if experts != len(weights):
        raise ConfigError(f"{experts} task vectors need {experts} weights, not {len(weights)}")
    return BoundMethod.with_weights(method, weights, parameters)


def _require_statistics(method: RegisteredMethod, statistics: Sequence[ExpertStatistics]) -> None:
    if method.statistics is not None and not statistics:
        raise ConfigError(
            f"{method.name} needs the {method.statistics} statistics of each expert",
            fix="give statistics=[collect_statistics(…), …], or merge with deme merge and name "
            "their files in a recipe",
        )


def _require_same_layout(base: StateDict, vectors: Sequence[TaskVector]) -> None:
    for vector in vectors:
        if [(k, vector[k].shape) for k in vector] != [(k, base[k].shape) for k in base]:
            raise MismatchError(
                f"The task vector {vector.name} is not of {base.origin}'s layout",
                fix="make it with TaskVector.between this base and an expert",
            )


def _merge(
    base: StateDict,
    vectors: Sequence[TaskVector],
    bound: BoundMethod,
    places: Mapping[str, TensorPlace],
    statistics: Sequence[ExpertStatistics],
) -> StateDict:
    merged: dict[str, Tensor] = {}
    for name in base:
        deltas = [vector[name] for vector in vectors]
        collected = [measured.read(name) for measured in statistics]
        tensor = bound.at(places[name])(base[name].float(), deltas, collected)
        if not bool(torch.isfinite(tensor).all()):
            raise MismatchError(f"Merging gives values that are not finite in {name}")
        merged[name] = tensor.to(base[name].dtype)
    return StateDict(merged, f"merge of {len(vectors)} experts on {base.origin}")


class InPlaceMerger:
    """Switches one denoiser among candidates, in the network's own memory.

    The weights are always rebuilt from ``θ``, so nothing accumulates over many switches. While it
    switches, the merged weights are in memory once more; where they are not finite, the network
    keeps the weights that it had.

    Args:
        denoiser: whose network is switched; it must hold the base weights' layout.
        base: ``θ``, in memory of its own and not the network's.
        vectors: ``τ_i``.
        method: name of a registered merge method.
        parameters: what the method takes beside.
        statistics: what was collected of each expert, where the method needs it.

    Raises:
        ConfigError: an unknown method, or no statistics for one that needs them.
        MismatchError: a task vector of another model.

    """

    def __init__(
        self,
        denoiser: Denoiser,
        base: StateDict,
        vectors: Sequence[TaskVector],
        *,
        method: str = "task_arithmetic",
        parameters: Mapping[str, Setting] | None = None,
        statistics: Sequence[ExpertStatistics] = (),
    ) -> None:
        self.denoiser = denoiser
        self.base = base
        self.vectors = tuple(vectors)
        self.method = method
        self.parameters = dict(parameters or {})
        self.statistics = tuple(statistics)
        _require_statistics(get_merge_method(method), self.statistics)
        _require_same_layout(base, self.vectors)
        self.places = places_of(denoiser.component, base)

    def __call__(
        self, weights: Sequence[Setting], parameters: Mapping[str, Setting] | None = None
    ) -> Denoiser:
        """The denoiser, now with the weights of this candidate; see :func:`merge_weights`.

        Args:
            weights: ``w_i``.
            parameters: of the method, over those that the merger was made with.

        """
        both = {**self.parameters, **(parameters or {})}
        bound = bind_in_memory(self.method, weights, both, len(self.vectors))
        merged = _merge(self.base, self.vectors, bound, self.places, self.statistics)
        self.denoiser.load_weights(merged)
        return self.denoiser
