"""What a merge will do, found out before anything is written."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..denoisers.contract import PROJECTIONS
from ..denoisers.loading import DENOISING_COMPONENTS
from ..errors import ConfigError, MismatchError
from ..files import hash_file
from .bound_method import BoundMethod
from .component_merge import ComponentMerge, Statistics
from .method_file import with_method_file
from .ownership import owned_timesteps
from .places import TensorPlace, places_of
from .provenance import require_hash
from .recipe import MergeRecipe, MergeSource, located
from .sources.comparing import differing_components
from .sources.contract import DeltaSource, ModelSource, Source, TensorInfo, WeightSource
from .sources.opening import open_expert, open_model
from .statistics import StatisticsDescription, read_statistics

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SAMPLED_BYTES = 2**27
SAMPLED_TENSORS = 30
"""How much of a merge is tried to say how long it will take."""


@dataclass(frozen=True)
class MergePlan:
    """A merge with its inputs open and its settings checked."""

    recipe: MergeRecipe
    folder: Path
    """What the recipe's relative paths start from."""
    base: ModelSource
    experts: tuple[ModelSource, ...]
    merged: Mapping[str, ComponentMerge]
    """The components that are merged."""
    copied: tuple[str, ...]
    """Those that no expert changed."""

    @property
    def files(self) -> tuple[str, ...]:
        """What is read beside the models: statistics, and the user's own method."""
        sources = (self.recipe.method_file, *(source.statistics for source in self.recipe.models))
        return tuple(located(path, self.folder) for path in sources if path is not None)

    @property
    def bytes_copied(self) -> int:
        """Bytes of the tensors that are the base's."""
        sources = [self.base.components[name] for name in self.copied]
        return sum(info.nbytes for source in sources for info in source.layout.values())

    @property
    def bytes_read(self) -> int:
        """Bytes of all the tensors that the merge reads."""
        return sum(
            info.nbytes
            for merge in self.merged.values()
            for source in (merge.base, *merge.experts)
            if isinstance(source, WeightSource)
            for info in source.layout.values()
        )

    @property
    def bytes_written(self) -> int:
        """Bytes of all the tensors that the merge writes."""
        merges = self.merged.values()
        return sum(info.nbytes for merge in merges for info in merge.layout.values())

    def estimate_seconds(self, workers: int) -> float:
        """How long merging takes with so many threads, from trying it on some of the tensors."""
        tried, started = 0, time.perf_counter()
        for merge in self.merged.values():
            sample = merge.fresh()  # what is tried must not count as read
            # small and large ones in turn: methods differ in what a tensor costs, and an element
            by_size = sorted(merge.layout, key=lambda n: merge.layout[n].numel)
            for name in by_size[:: max(1, len(by_size) // SAMPLED_TENSORS)]:
                if tried < SAMPLED_BYTES:
                    tried += sum(piece.nbytes for piece in sample.produce(name))
        spent = time.perf_counter() - started
        return spent * self.bytes_written / max(1, tried) / workers


def plan_merge(recipe: MergeRecipe, folder: Path, *, allow_code: bool = False) -> MergePlan:
    """Opens everything that a recipe names and checks that it fits together.

    Args:
        recipe: the recipe.
        folder: what its relative paths start from.
        allow_code: whether the recipe's own Python file may be run.

    Raises:
        ConfigError: a setting that is not valid, or an expert that is named twice.
        ModelError: something that is not a model.
        MismatchError: an expert of another architecture, or one that changes nothing.

    """
    recipe = with_method_file(recipe, folder, allow_code)
    recipe = _with_statistics_hashes(recipe, folder)
    method = BoundMethod.of(recipe)
    _require_distinct(recipe.models, folder)
    base = open_model(
        located(recipe.base_model, folder),
        variant=recipe.base_variant,
        revision=recipe.base_revision,
    )
    experts = tuple(
        open_expert(
            located(source.model, folder), base, variant=source.variant, revision=source.revision
        )
        for source in recipe.models
    )
    noted = [_with_facts(*pair) for pair in zip(recipe.models, experts, strict=True)]
    recipe = recipe.model_copy(update={"models": noted})
    statistics = _open_statistics(method, recipe.models, folder, base)
    merged = _merged_components(base, experts, method, DTYPES.get(recipe.dtype), statistics)
    if not merged:
        raise MismatchError(
            "No expert differs from the base: there is nothing to merge",
            fix="give experts that were finetuned",
        )
    copied = tuple(name for name in base.components if name not in merged)
    return MergePlan(recipe, folder, base, experts, merged, copied)


def _merged_components(
    base: ModelSource,
    experts: Sequence[ModelSource],
    method: BoundMethod,
    dtype: torch.dtype | None,
    statistics: Sequence[Statistics],
) -> dict[str, ComponentMerge]:
    """The merge of each component that an expert changed, its settings tried."""
    changes = [differing_components(base, expert) for expert in experts]
    merged: dict[str, ComponentMerge] = {}
    places: list[TensorPlace] = []
    for name in _component_names(base, experts):
        changed = [
            expert.components[name] if name in differing else None
            for expert, differing in zip(experts, changes, strict=True)
        ]
        own = _base_component(base, name, changed)
        places += places_of(name, own.layout).values()
        if any(source is not None for source in changed):
            about = statistics if name in DENOISING_COMPONENTS else _unmeasured(statistics)
            merged[name] = ComponentMerge(name, own, changed, method, dtype=dtype, statistics=about)
    method.check_rules(places)
    for merge in merged.values():
        method.probe(list(merge.places.values()))
    return merged


def _with_facts(source: MergeSource, expert: ModelSource) -> MergeSource:
    """The expert with the timesteps that it owns, where they are known, and how it is stored."""
    changes: dict[str, Any] = {"stored": _half_precision(expert)}
    if source.min_timestep is None and source.max_timestep is None:
        changes["min_timestep"], changes["max_timestep"] = owned_timesteps(expert)
    return source.model_copy(update=changes)


def _half_precision(expert: ModelSource) -> str | None:
    """The dtype of an expert whose weights are all in half precision."""
    dtypes = {
        info.dtype
        for source in expert.components.values()
        if isinstance(source, WeightSource)
        for info in source.layout.values()
        if info.dtype.is_floating_point
    }
    names = {
        dtype: name for name, dtype in DTYPES.items() if dtype.itemsize < torch.float32.itemsize
    }
    return names.get(dtypes.pop()) if len(dtypes) == 1 else None


def _component_names(base: ModelSource, experts: Sequence[ModelSource]) -> list[str]:
    """The base's components, and projections that experts kept beside theirs."""
    kept = any(PROJECTIONS in expert.components for expert in experts)
    return list(dict.fromkeys([*base.components, *([PROJECTIONS] if kept else [])]))


def _base_component(base: ModelSource, name: str, experts: Sequence[Source | None]) -> WeightSource:
    if name in base.components:
        source = base.components[name]
        if isinstance(source, DeltaSource):
            raise MismatchError(
                f"{base.origin} is an adapter, not a model", fix="give the model that it is for"
            )
        return source
    kept = [source for source in experts if source is not None]
    for source in kept[1:]:
        if source.layout != kept[0].layout:
            raise MismatchError(
                f"{kept[0].origin} and {source.origin} have projections of different shapes",
                fix="give experts that were trained with one placement",
            )
    return _Identity(kept[0].layout)


class _Identity(WeightSource):
    """Projections of a base that has none: ``W = 1``, which is stored as its offset 0."""

    def __init__(self, layout: Mapping[str, TensorInfo]) -> None:
        self.layout = layout
        self.origin = "the identity"

    def read(self, name: str) -> Tensor:
        info = self.layout[name]
        return torch.zeros(info.shape, dtype=info.dtype)


def _require_distinct(sources: Sequence[MergeSource], folder: Path) -> None:
    seen: set[tuple[str, str | None, str | None]] = set()
    for source in sources:
        path = located(source.model, folder)
        path = str(Path(path).resolve()) if Path(path).exists() else path
        if (path, source.revision, source.variant) in seen:
            raise ConfigError(
                f"The expert {path} is given twice", fix="give it once, with the sum of its weights"
            )
        seen.add((path, source.revision, source.variant))


def _with_statistics_hashes(recipe: MergeRecipe, folder: Path) -> MergeRecipe:
    models = []
    for source in recipe.models:
        if source.statistics is None:
            models.append(source)
            continue
        found = hash_file(Path(located(source.statistics, folder)))
        require_hash(source.statistics, source.statistics_hash, found)
        models.append(source.model_copy(update={"statistics_hash": found}))
    return recipe.model_copy(update={"models": models})


def _open_statistics(
    method: BoundMethod, sources: Sequence[MergeSource], folder: Path, base: ModelSource
) -> list[Statistics]:
    """What was collected for each expert's denoising network; none where nothing is needed."""
    kind = method.method.statistics
    if kind is None:
        return []
    network = next((base.components[n] for n in DENOISING_COMPONENTS if n in base.components), None)
    opened: list[Statistics] = []
    for source in sources:
        if source.statistics is None:
            raise ConfigError(
                f"{method.method.name} needs the {kind} statistics of {source.model}",
                fix=f"deme statistics {source.model} --kind {kind} -o FILE, then write "
                "`statistics: FILE` below the model in a recipe",
            )
        path = Path(located(source.statistics, folder))
        layout = None if network is None else network.layout
        collected = read_statistics(path, kind=kind, layout=layout)
        _require_same_range(source, collected.description)
        opened.append(collected)
    return opened


def _require_same_range(source: MergeSource, measured: StatisticsDescription) -> None:
    own = (source.min_timestep, source.max_timestep)
    theirs = (measured.min_timestep, measured.max_timestep)
    if own != (None, None) and own != theirs:
        raise MismatchError(
            f"{source.model} owns t in [{own[0]}, {own[1]}), and {source.statistics} was collected "
            f"in [{theirs[0]}, {theirs[1]})",
            fix="collect the statistics at the timesteps that the expert owns",
        )


class _Unmeasured:
    """The statistics of a component that none were collected of."""

    def read(self, name: str) -> Tensor | None:
        return None


def _unmeasured(statistics: Sequence[Statistics]) -> list[Statistics]:
    return [_Unmeasured() for _ in statistics]
