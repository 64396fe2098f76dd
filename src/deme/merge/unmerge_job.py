"""Taking one expert out of a merge: base, merged model and the other experts give it back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..errors import ConfigError
from ..files import atomic_path, sole_writer
from .bound_method import BoundMethod
from .byte_progress import ByteProgress, Report
from .component_merge import BLOCK, ComponentMerge, stored_dtype
from .difference import as_expert_stores
from .method_file import with_method_file
from .model_files import write_model
from .output_place import require_form
from .planning import DTYPES
from .provenance import require_hash
from .recipe import MergeRecipe, located, read_recipe
from .sources.comparing import differing_components
from .sources.contract import ModelSource, Source, TensorInfo, WeightSource
from .sources.digest import digest_model
from .sources.opening import open_expert, open_model
from .unmerging import coefficients, require_linear, unmerge_tensor


def unmerge(
    merged: Path,
    expert: str,
    output: Path,
    *,
    base: str | None = None,
    allow_code: bool = False,
    workers: int | None = None,
    progress: Report = lambda written, total: None,
) -> MergeRecipe:
    """Writes the expert that is taken out: ``τ_k = (θ_merged − θ − Σ_{i≠k} c_i τ_i) / c_k``.

    Its components that merging did not change are the base's.

    Args:
        merged: a folder or file that ``deme merge`` wrote.
        expert: its place in the recipe, from 0, or its name there.
        output: the new folder; it must not exist.
        base: the pretrained model, where it is elsewhere now than the recipe says.
        allow_code: whether the recipe's own Python file may be run.
        workers: threads.
        progress: told how many megabytes are written, and how many there will be.

    Returns:
        The merge's recipe.

    Raises:
        ConfigError: no such expert, one that left no trace, or a method that cannot be undone.
        MismatchError: a base or an expert that is not the one that was merged.

    """
    if output.exists():
        raise ConfigError(f"{output} exists", fix="choose another --output, or remove it")
    recipe, folder = read_recipe(merged)
    recipe = with_method_file(recipe, folder, allow_code)
    bound = BoundMethod.of(recipe)
    require_linear(bound.method)
    taken = _position(recipe, expert)
    theta = open_model(
        base or located(recipe.base_model, folder),
        variant=recipe.base_variant,
        revision=recipe.base_revision,
    )
    require_form(theta, output)
    require_hash(theta.origin, recipe.base_hash, digest_model(theta))
    others = _open_others(recipe, folder, theta, taken)
    stored = DTYPES.get(recipe.models[taken].stored or "")
    made = _taken_apart(theta, open_expert(str(merged), theta), others, bound, taken, stored)
    total = sum(info.nbytes for part in made.values() for info in part.layout.values())
    count = ByteProgress(total, progress)
    with sole_writer(output), atomic_path(output) as partial:
        write_model(theta, made, partial, workers=workers, progress=count)
    return recipe


def _open_others(
    recipe: MergeRecipe, folder: Path, base: ModelSource, taken: int
) -> list[ModelSource | None]:
    """The experts of a recipe, checked to be those that were merged; None for the one taken."""
    opened: list[ModelSource | None] = []
    for index, source in enumerate(recipe.models):
        if index == taken:
            opened.append(None)
            continue
        path = located(source.model, folder)
        expert = open_expert(path, base, variant=source.variant, revision=source.revision)
        require_hash(path, source.hash, digest_model(expert))
        opened.append(expert)
    return opened


def _taken_apart(
    base: ModelSource,
    merged: ModelSource,
    others: Sequence[ModelSource | None],
    bound: BoundMethod,
    taken: int,
    stored: torch.dtype | None,
) -> dict[str, ComponentUnmerge]:
    made: dict[str, ComponentUnmerge] = {}
    for name in differing_components(base, merged):
        own, there = base.components.get(name), merged.components[name]
        if not isinstance(own, WeightSource) or not isinstance(there, WeightSource):
            raise ConfigError(
                f"{name} of {merged.origin} is not in the base: it cannot be taken apart",
                fix="keep the experts with deme compress",
            )
        given = [None if other is None else other.components.get(name) for other in others]
        made[name] = ComponentUnmerge(name, own, there, given, bound, taken, stored)
    return made


def _position(recipe: MergeRecipe, expert: str) -> int:
    names = [source.model for source in recipe.models]
    if expert.isdecimal() and int(expert) < len(names):
        return int(expert)
    matching = [i for i, name in enumerate(names) if expert in (name, Path(name).name)]
    if len(matching) != 1:
        raise ConfigError(
            f"The merge has no expert {expert!r}",
            choices=[f"{i} ({name})" for i, name in enumerate(names)],
        )
    return matching[0]


class ComponentUnmerge:
    """One component of the expert that is taken out, made a block of a tensor at a time.

    Args:
        component: its name in the pipeline.
        base: ``θ``.
        merged: ``θ_merged``.
        others: the other experts by their place in the merge; None where there is none.
        bound: the merge method with its settings for all experts.
        taken: the place of the one that is taken out.
        stored: its dtype, where that is half precision.

    """

    def __init__(
        self,
        component: str,
        base: WeightSource,
        merged: WeightSource,
        others: list[Source | None],
        bound: BoundMethod,
        taken: int,
        stored: torch.dtype | None = None,
    ) -> None:
        self.merged = merged
        self.inputs = ComponentMerge(component, base, others, bound)
        self.taken = taken
        self.layout = {
            name: TensorInfo(info.shape, stored_dtype(info.dtype, stored or torch.float32))
            for name, info in base.layout.items()
        }

        self._require_traces()

    def _require_traces(self) -> None:
        for name, info in self.inputs.base.layout.items():
            if info.dtype.is_floating_point and self._factors(name)[self.taken] == 0:
                raise ConfigError(
                    f"The expert's weight at {name} is 0: it left no trace there to take out",
                    fix="choose an expert whose weights are not 0, or keep it with deme compress",
                )

    def _factors(self, name: str) -> list[float]:
        """The ``c_i`` of all experts for one tensor."""
        numbers = self.inputs.method.at(self.inputs.places[name])
        return list(coefficients(numbers.method, numbers.weights, numbers.parameters))

    def memory(self, name: str) -> int:
        """Bytes that making a tensor takes, about."""
        return self.inputs.memory(name)

    def produce(self, name: str) -> Iterator[Tensor]:
        """The expert's tensor in flat pieces, float32."""
        stored = self.inputs.base.read(name)
        if not stored.dtype.is_floating_point:
            yield stored.flatten()
            return
        factors = self._factors(name)
        given = self.inputs.inputs(name, stored)
        own, _ = factors.pop(self.taken), given.pop(self.taken)
        theta, result = stored.flatten(), self.merged.read(name).flatten()
        for start in range(0, theta.numel(), BLOCK):
            base = theta[start : start + BLOCK].float()
            deltas = [other.delta(start, base) for other in given]
            merged = result[start : start + BLOCK].float()
            tau = unmerge_tensor(base, merged, deltas, factors, own)
            dtype = self.layout[name].dtype
            # τ of a half-precision expert is its difference from the base as rounded to its dtype
            yield (as_expert_stores(base, dtype).float() + tau).to(dtype)
