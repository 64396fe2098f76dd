"""Applying a merge method to whole models, a tensor at a time, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..errors import ConfigError, MismatchError
from .methods import get_merge_method
from .state_dict import StateDict
from .task_vector import TaskVector


def merge_weights(
    base: StateDict,
    vectors: Sequence[TaskVector],
    weights: Sequence[float],
    *,
    method: str = "task_arithmetic",
    parameters: Mapping[str, Any] | None = None,
) -> StateDict:
    """The merged weights; arithmetic in float32, each tensor returned in the base's dtype.

    Args:
        base: ``θ``.
        vectors: ``τ_i``.
        weights: ``w_i``, one per vector, of any sign.
        method: name of a registered merge method.
        parameters: what the method takes beside.

    Raises:
        ConfigError: unknown method, unknown parameter, or a wrong number of weights.
        MismatchError: a task vector of another model, or a result that is not finite.

    """
    if len(vectors) != len(weights):
        raise ConfigError(
            f"{len(vectors)} task vectors need {len(vectors)} weights, not {len(weights)}"
        )
    registered = get_merge_method(method)
    parameters = dict(parameters or {})
    for name in parameters:
        if name not in registered.parameters:
            raise ConfigError(
                f"{method} has no parameter {name!r}", choices=registered.parameters, given=name
            )
    for vector in vectors:
        if [(k, vector[k].shape) for k in vector] != [(k, base[k].shape) for k in base]:
            raise MismatchError(
                f"The task vector {vector.name} is not of {base.origin}'s layout",
                fix="make it with TaskVector.between this base and an expert",
            )
    merged: dict[str, Tensor] = {}
    for name in base:
        deltas = [vector[name] for vector in vectors]
        tensor = registered.function(base[name].float(), deltas, list(weights), **parameters)
        if not bool(torch.isfinite(tensor).all()):
            raise MismatchError(f"Merging gives values that are not finite in {name}")
        merged[name] = tensor.to(base[name].dtype)
    return StateDict(merged, f"merge of {len(vectors)} experts on {base.origin}")


class InPlaceMerger:
    """Switches one denoiser among candidates ``θ + Σ w_i τ_i``, in the network's own memory.

    The weights are always rebuilt from ``θ``, so nothing accumulates over many switches. While it
    switches, the merged weights are in memory once more; where they are not finite, the network
    keeps the weights that it had.

    Args:
        denoiser: whose network is switched; it must hold the base weights' layout.
        base: ``θ``, in memory of its own and not the network's.
        vectors: ``τ_i``.

    """

    def __init__(self, denoiser: Denoiser, base: StateDict, vectors: Sequence[TaskVector]) -> None:
        self.denoiser = denoiser
        self.base = base
        self.vectors = tuple(vectors)

    def __call__(self, weights: Sequence[float]) -> Denoiser:
        """The denoiser, now with the weights of this candidate; see :func:`merge_weights`."""
        self.denoiser.load_weights(merge_weights(self.base, self.vectors, weights))
        return self.denoiser
