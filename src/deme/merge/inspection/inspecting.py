"""What a model is made of, and how experts of it differ: read once, a piece of a tensor at a time.

Memory does not grow with the model: at most one tensor of an adapter's differences is dense at a
time, weights are read in pieces of :data:`PIECE` elements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..difference import difference
from ..places import TensorPlace, places_of
from ..sources.comparing import differing_components
from ..sources.contract import DeltaSource, ModelSource, Source, WeightSource
from .model_classes import class_of
from .sums import ElementSums, total

PIECE = 2**16
"""Elements that are looked at together: they stay in a core's cache."""


@dataclass(frozen=True)
class ComponentFacts:
    """One component of one model."""

    class_name: str | None
    """The class that its configuration names; None where there is none."""
    tensors: int
    """How many there are; of an adapter, how many it changes."""
    parameters: int
    """Elements of all of them."""
    nbytes: int
    """Bytes as stored; of an adapter, of the files that hold it."""
    dtypes: Mapping[str, int]
    """How many tensors are stored in each dtype."""
    nan: int = 0
    """Elements that are not a number."""
    inf: int = 0
    """Elements that are infinite."""


@dataclass(frozen=True)
class ModelFacts:
    """One of the inspected models."""

    origin: str
    """As it was given."""
    form: str
    """``pipeline``, ``component``, ``file`` or ``adapter``."""
    components: Mapping[str, ComponentFacts]
    """By name."""


@dataclass(frozen=True)
class ComponentSums:
    """Norms of one component's weights, and of what experts add to them."""

    changed_by: tuple[int, ...]
    """Which experts changed it (0 is the first); the sums' task vectors are theirs alone."""
    blocks: Mapping[str, ElementSums]
    """By block, in the order of the forward pass."""
    kinds: Mapping[str, ElementSums]
    """By kind of layer."""

    @property
    def whole(self) -> ElementSums:
        """Over all blocks."""
        return total(list(self.blocks.values()), len(self.changed_by))


@dataclass(frozen=True)
class Inspection:
    """What :func:`inspect_models` found."""

    base: ModelFacts
    experts: tuple[ModelFacts, ...]
    components: Mapping[str, ComponentSums]
    """By the component's name: the base's, and projections that experts keep beside theirs."""


def inspect_models(
    base: ModelSource,
    experts: Sequence[ModelSource] = (),
    *,
    progress: Callable[[int], None] = lambda elements: None,
) -> Inspection:
    """Looks at every element of a model, and of experts of it.

    Task vectors are ``τ_i = θ_i − θ`` in float32, where a half-precision expert is compared with
    ``θ`` as rounded to its dtype. Elements that are not finite in any of the models are counted,
    and left out of norms and comparisons.

    Args:
        base: the model.
        experts: under the base's names (:func:`.sources.opening.open_expert`).
        progress: told how many elements of the base were looked at.

    Raises:
        StorageError: a file is truncated or cannot be read.

    """
    changes = [differing_components(base, expert) for expert in experts]
    names = dict.fromkeys([*base.components, *(name for found in changes for name in found)])
    facts = [_facts(model) for model in (base, *experts)]
    components: dict[str, ComponentSums] = {}
    done = 0
    for name in names:
        changed_by = [i for i, found in enumerate(changes) if name in found]
        pass_over = _ComponentPass(name, base, [experts[i] for i in changed_by])
        for elements in pass_over.run():
            done += elements
            progress(done)
        components[name] = pass_over.sums(tuple(changed_by))
        for model, (nan, inf) in zip((0, *(i + 1 for i in changed_by)), pass_over.bad, strict=True):
            if name in facts[model]:
                facts[model][name] = replace(facts[model][name], nan=nan, inf=inf)
    models = [
        ModelFacts(model.origin, model.form, found)
        for model, found in zip((base, *experts), facts, strict=True)
    ]
    return Inspection(models[0], tuple(models[1:]), components)


def _facts(model: ModelSource) -> dict[str, ComponentFacts]:
    return {
        name: ComponentFacts(
            class_of(model, name),
            len(source.layout),
            sum(info.numel for info in source.layout.values()),
            _stored_bytes(source),
            Counter(str(i.dtype).removeprefix("torch.") for i in source.layout.values()),
        )
        for name, source in model.components.items()
    }


def _stored_bytes(source: Source) -> int:
    if isinstance(source, DeltaSource) and source.files:
        return sum(file.stat().st_size for file in source.files)
    return sum(info.nbytes for info in source.layout.values())


class _ComponentPass:
    """One pass over one component of the base and of the experts that changed it."""

    def __init__(self, name: str, base: ModelSource, experts: Sequence[ModelSource]) -> None:
        own = base.components.get(name)
        if isinstance(own, DeltaSource):
            own = None
        self.base: WeightSource | None = own
        self.experts = [expert.components[name] for expert in experts]
        layout = (self.base or self.experts[0]).layout
        self.layout = {n: info for n, info in layout.items() if info.dtype.is_floating_point}
        self.places = places_of(name, layout)
        self.by_place: dict[tuple[str, str], ElementSums] = {}
        self.bad = [(0, 0)] * (1 + len(experts))
        """NaN and infinite elements, of the base and of each expert."""

    def run(self) -> Iterator[int]:
        """Looks at all elements; yields how many in each piece."""
        for name in self.layout:
            place = self.places[name]
            sums = self.by_place.setdefault(
                (place.block, place.kind), ElementSums(len(self.experts))
            )
            for base, given, deltas in self._pieces(name):
                stacked = torch.stack(deltas) if deltas else base.new_zeros(0, len(base))
                # the sum is one pass; looked at closely only where it is not finite
                if not bool(torch.isfinite(base.sum() + stacked.sum())):
                    self._count_bad([base, *given])
                    finite = torch.isfinite(stacked).all(0) & torch.isfinite(base)
                    base, stacked = base.where(finite, 0), stacked.where(finite, 0)
                sums.add_piece(base, stacked)
                yield len(base)

    def _pieces(self, name: str) -> Iterator[tuple[Tensor, list[Tensor], list[Tensor]]]:
        """``θ``, what each expert stores, and ``τ_i``: flat pieces in their order."""
        info = self.layout[name]
        base = torch.zeros(info.shape) if self.base is None else self.base.read(name)
        given = [_given(expert, name, base).flatten() for expert in self.experts]
        flat = base.flatten()
        for start in range(0, info.numel, PIECE):
            theta = flat[start : start + PIECE]
            theirs = [tensor[start : start + PIECE] for tensor in given]
            deltas = [
                piece if isinstance(expert, DeltaSource) else difference(piece, theta)
                for expert, piece in zip(self.experts, theirs, strict=True)
            ]
            yield theta.float(), theirs, deltas

    def _count_bad(self, pieces: Sequence[Tensor]) -> None:
        for model, piece in enumerate(pieces):
            values = piece.float()
            nan, inf = int(values.isnan().sum()), int(values.isinf().sum())
            self.bad[model] = (self.bad[model][0] + nan, self.bad[model][1] + inf)

    def sums(self, changed_by: tuple[int, ...]) -> ComponentSums:
        """The sums by block and by kind."""
        ordered = sorted(self.places.values(), key=lambda place: place.depth)
        return ComponentSums(
            changed_by,
            self._grouped(ordered, lambda place: place.block),
            self._grouped(ordered, lambda place: place.kind),
        )

    def _grouped(
        self, places: Sequence[TensorPlace], key: Callable[[TensorPlace], str]
    ) -> dict[str, ElementSums]:
        cells: dict[str, dict[tuple[str, str], ElementSums]] = {}
        for place in places:
            cell = (place.block, place.kind)
            if cell in self.by_place:
                cells.setdefault(key(place), {})[cell] = self.by_place[cell]
        return {
            group: total(list(found.values()), len(self.experts)) for group, found in cells.items()
        }


def _given(expert: Source, name: str, base: Tensor) -> Tensor:
    """What the expert stores of a tensor: its weights, or for an adapter ``τ``."""
    if isinstance(expert, DeltaSource):
        return expert.read_delta(name, base) if name in expert.layout else torch.zeros(base.shape)
    return expert.read(name) if name in expert.layout else base
