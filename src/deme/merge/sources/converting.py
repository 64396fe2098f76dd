"""Weights and differences seen under a conversion's new names, and the way back."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .contract import DeltaSource, TensorInfo, WeightSource
from .tracing import Part

Plan = Mapping[str, tuple[Part, tuple[int, ...]]]
"""New names to parts of old tensors, and their shapes; see :func:`.tracing.trace_conversion`."""
Routes = Mapping[str, Mapping[str, Part]]
"""Old names to the new tensors that fill them, and where each goes."""


class ConvertedWeights(WeightSource):
    """A source's tensors under new names, as views."""

    def __init__(self, inner: WeightSource, plan: Plan) -> None:
        self._inner, self.plan = inner, plan
        self.origin, self.files = inner.origin, inner.files
        self.layout = {
            name: TensorInfo(shape, inner.layout[part.name].dtype)
            for name, (part, shape) in plan.items()
        }

    def read(self, name: str) -> Tensor:
        """The tensor as it is stored: a view of the mapped file where it is contiguous there."""
        part, _ = self.plan[name]
        return part.of(self._inner.read(part.name)).contiguous()


def way_back(plan: Plan, layout: Mapping[str, TensorInfo]) -> Routes:
    """What fills each old tensor; those that the new names do not cover whole are left out."""
    routes: dict[str, dict[str, Part]] = {}
    for name, (part, _) in plan.items():
        routes.setdefault(part.name, {})[name] = part
    return {
        old: parts
        for old, parts in sorted(routes.items())
        if sum(math.prod(plan[name][1]) for name in parts) == layout[old].numel
    }


class RestoredWeights(WeightSource):
    """Weights that have the new names, brought back to the old ones."""

    def __init__(self, inner: WeightSource, routes: Routes, old: Mapping[str, TensorInfo]) -> None:
        self._inner, self._routes = inner, routes
        self.origin, self.files = inner.origin, inner.files
        self.layout = {
            name: TensorInfo(old[name].shape, inner.layout[next(iter(parts))].dtype)
            for name, parts in routes.items()
            if all(new in inner.layout for new in parts)
        }

    def read(self, name: str) -> Tensor:
        """The tensor: as stored where it was only renamed, put together otherwise."""
        parts, info = self._routes[name], self.layout[name]
        if len(parts) == 1:
            new, part = next(iter(parts.items()))
            if not part.steps:
                return self._inner.read(new)
        whole = torch.empty(info.shape, dtype=info.dtype)
        for new, part in parts.items():
            part.of(whole).copy_(self._inner.read(new))
        return whole


class RestoredDeltas(DeltaSource):
    """Differences of tensors that have the new names, brought back to the old ones."""

    def __init__(self, inner: DeltaSource, routes: Routes, old: Mapping[str, TensorInfo]) -> None:
        self._inner, self._routes = inner, routes
        self.origin, self.files = inner.origin, inner.files
        self.layout = {
            name: old[name]
            for name, parts in routes.items()
            if any(new in inner.layout for new in parts)
        }

    def read_delta(self, name: str, base: Tensor) -> Tensor:
        """``τ``; see :meth:`DeltaSource.read_delta`."""
        parts = self._routes[name]
        whole = torch.zeros(base.shape, dtype=torch.float32)
        for new, part in parts.items():
            if new in self._inner.layout:
                part.of(whole).copy_(self._inner.read_delta(new, part.of(base)))
        return whole
