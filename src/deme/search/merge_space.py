"""From a candidate's numbers to a merge: whose weights they are, and of which part."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..errors import ConfigError
from ..merge.places import TensorPlace
from ..merge.settings import Rule, Setting
from .config import SearchConfig
from .set_store import rounded
from .space import Box, Candidate

MOST_GROUPS = 8
"""Blocks of a deeper network are searched in so many groups of neighbours."""
ENDS = ("input", "output")
WIDTHS, WIDTH = (0.03, 0.25), 0.1
"""Bounds of an average's relative width, and what the anchors have."""
BlockGroup = tuple[str, ...]
"""Names of blocks or sections that share a weight."""


class Snapshot(NamedTuple):
    """An expert after so many steps, averaged over so large a share of them."""

    step: float
    sigma_rel: float


@dataclass(frozen=True)
class MergePoint:
    """What a candidate means: a weight for each expert, and the method's parameters."""

    weights: tuple[Setting, ...]
    parameters: Mapping[str, Setting] = field(default_factory=dict)
    snapshots: tuple[Snapshot, ...] = ()
    """Which snapshot of each expert; empty: the finished experts."""


@dataclass(frozen=True)
class Axis:
    """One number that is searched: its name, bounds, and what counts as one step along it."""

    name: str
    low: float
    high: float
    unit: float = 1.0
    start: float = 0.0
    """What the anchors have, where it is no weight."""


@dataclass(frozen=True)
class MergeSpace:
    """What is searched.

    A candidate holds the weights first (one common scale; or one per expert; or, group by group of
    blocks, one per expert), then the step and the width of each expert's snapshot, and then the
    method's parameters.

    Attributes:
        experts: their names.
        bounds: of every weight.
        groups: blocks with weights of their own; empty: each expert has one weight.
        common: one scale for all experts.
        parameters: axes of what else the method takes.
        fixed: parameters that are not searched.
        steps: first and last training step of the snapshots; None: the finished experts.

    """

    experts: tuple[str, ...]
    bounds: tuple[float, float]
    groups: tuple[BlockGroup, ...] = ()
    common: bool = False
    parameters: tuple[Axis, ...] = ()
    fixed: Mapping[str, Setting] = field(default_factory=dict)
    steps: tuple[float, float] | None = None

    @classmethod
    def of(
        cls,
        config: SearchConfig,
        experts: Sequence[str],
        places: Mapping[str, TensorPlace],
        steps: tuple[float, float] | None = None,
    ) -> MergeSpace:
        """The space that the configuration names.

        Args:
            config: the search's.
            experts: names.
            places: of the network's tensors, where blocks have weights of their own.
            steps: first and last training step of the experts' snapshots, where they are searched.

        Raises:
            ConfigError: no expert, or one that is called as a parameter that is searched.

        """
        if not experts:
            raise ConfigError("A search needs at least one expert", fix="name one under experts")
        if taken := sorted({*experts} & {*config.parameters}):
            raise ConfigError(
                f"{', '.join(taken)} is the name of an expert and of a parameter",
                fix="give the expert another name",
            )
        searched = tuple(
            Axis(name, *given, unit=given[1] - given[0], start=(given[0] + given[1]) / 2)
            for name, given in config.parameters.items()
            if isinstance(given, tuple)
        )
        fixed = {k: v for k, v in config.parameters.items() if not isinstance(v, tuple)}
        return cls(
            tuple(experts),
            config.bounds,
            groups=block_groups(places) if config.per == "block" else (),
            common=config.per == "scale",
            parameters=searched,
            fixed=fixed,
            steps=steps if config.snapshots else None,
        )

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Every number of a candidate, in order."""
        if self.common:
            names = ["scale"]
        elif self.groups:
            names = [f"{_title(group)} {name}" for group in self.groups for name in self.experts]
        else:
            names = list(self.experts)
        return (*(Axis(name, *self.bounds) for name in names), *self.others)

    @property
    def others(self) -> tuple[Axis, ...]:
        """The axes that are no weights."""
        if self.steps is None:
            return self.parameters
        low, high = self.steps
        snapshots = [
            axis
            for name in self.experts
            for axis in (
                Axis(f"{name} step", low, high, unit=high - low, start=high),
                Axis(f"{name} width", *WIDTHS, unit=WIDTHS[1] - WIDTHS[0], start=WIDTH),
            )
        ]
        return (*snapshots, *self.parameters)

    @property
    def box(self) -> Box:
        """The bounds of all axes."""
        axes = self.axes
        return Box(tuple(axis.low for axis in axes), tuple(axis.high for axis in axes))

    @property
    def units(self) -> tuple[float, ...]:
        """The unit of each axis."""
        return tuple(axis.unit for axis in self.axes)

    def at(self, candidate: Candidate) -> MergePoint:
        """The merge that a candidate means.

        Raises:
            ConfigError: it has another number of values than the space has axes.

        """
        axes = self.axes
        if len(candidate) != len(axes):
            raise ConfigError(f"{len(candidate)} values do not fit {len(axes)} axes")
        count = len(axes) - len(self.others)
        weights, values = candidate[:count], candidate[count:]
        snapshots: tuple[Snapshot, ...] = ()
        if self.steps is not None:
            pairs, values = values[: 2 * len(self.experts)], values[2 * len(self.experts) :]
            snapshots = tuple(map(Snapshot, pairs[::2], pairs[1::2]))
        found = {axis.name: value for axis, value in zip(self.parameters, values, strict=True)}
        return MergePoint(self._weights(weights), {**self.fixed, **found}, snapshots)

    def _weights(self, weights: Candidate) -> tuple[Setting, ...]:
        experts = len(self.experts)
        if self.common:
            return weights * experts
        if not self.groups:
            return weights
        settings: list[Setting] = []
        for index in range(experts):
            own = zip(self.groups, weights[index::experts], strict=True)
            settings.append([Rule(block=name, value=w) for group, w in own for name in group])
        return tuple(settings)

    def of_experts(self, weights: Sequence[float]) -> Candidate:
        """The candidate with one weight for each expert, everywhere.

        Parameters are in mid range, snapshots the last ones.

        Raises:
            ConfigError: another number of weights; or different ones where there is one scale.

        """
        if len(weights) != len(self.experts):
            raise ConfigError(f"{len(weights)} weights do not fit {len(self.experts)} experts")
        if self.common and len(set(weights)) > 1:
            raise ConfigError("Different weights cannot be had with one common scale")
        middle = tuple(axis.start for axis in self.others)
        own = tuple(weights[:1]) if self.common else tuple(weights) * max(1, len(self.groups))
        return rounded((*own, *middle))

    def coarse(self) -> MergeSpace:
        """The same with one weight for each expert, where each block has its own."""
        return dataclasses.replace(self, groups=())

    def lifted(self, candidate: Candidate) -> Candidate:
        """A candidate of :meth:`coarse` in this space."""
        experts = len(self.experts)
        return (*(candidate[:experts] * len(self.groups)), *candidate[experts:])

    def anchors(self) -> dict[str, Candidate]:
        """What every search evaluates first: nothing, each expert alone, 1/N, and all at once."""
        count = len(self.experts)
        wanted: dict[str, tuple[float, ...]] = {"pretrained": (0.0,) * count}
        if not self.common:
            for place, name in enumerate(self.experts):
                wanted[name] = tuple(float(place == other) for other in range(count))
        wanted["uniform"] = (1 / count,) * count
        wanted["sum"] = (1.0,) * count
        found: dict[str, Candidate] = {}
        for name, weights in wanted.items():
            candidate = self.of_experts(weights)
            if candidate not in found.values():
                found[name] = candidate
        return found


def block_groups(places: Mapping[str, TensorPlace]) -> tuple[BlockGroup, ...]:
    """Blocks along the forward pass, neighbours together until there are at most eight groups.

    What lies before the first block and after the last is ``input`` and ``output``.
    """
    depths: dict[str, float] = {}
    for place in places.values():
        depths[place.section if place.section in ENDS else place.block] = place.depth
    ordered = sorted(depths, key=lambda name: (depths[name], name))
    count = min(MOST_GROUPS, len(ordered))
    edges = [round(len(ordered) * number / count) for number in range(count + 1)]
    return tuple(tuple(ordered[start:stop]) for start, stop in itertools.pairwise(edges))


def _title(group: BlockGroup) -> str:
    return group[0] if len(group) == 1 else f"{group[0]}…{group[-1]}"
