"""What a merge was made from: the hashes of all that it read, checked and noted in the recipe."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping

from ..errors import MismatchError
from .component_merge import ComponentMerge
from .recipe import MergeRecipe
from .sources.contract import ModelSource, Source, WeightSource
from .sources.digest import combine_digests, digest_source


def with_hashes(
    recipe: MergeRecipe,
    base: ModelSource,
    experts: tuple[ModelSource, ...],
    merged: Mapping[str, ComponentMerge],
) -> MergeRecipe:
    """The recipe with the hashes of the weights that were merged, and the versions.

    Args:
        recipe: the recipe, with hashes or without.
        base: the base.
        experts: the experts.
        merged: the components that were merged; each has hashed what it read.

    Raises:
        MismatchError: other weights than the recipe's hashes name.

    """
    own = {
        name: merged[name].base_digests.combined(source.layout)
        if name in merged
        else digest_source(source)
        for name, source in base.components.items()
    }
    found = combine_digests(own)
    require_hash(recipe.base_model, recipe.base_hash, found)
    models = []
    for index, (source, expert) in enumerate(zip(recipe.models, experts, strict=True)):
        digest = _expert_hash(index, expert, base, own, merged)
        require_hash(source.model, source.hash, digest)
        models.append(source.model_copy(update={"hash": digest}))
    versions = {name: importlib.metadata.version(name) for name in ("deme", "torch")}
    return recipe.model_copy(update={"base_hash": found, "models": models, "versions": versions})


def _expert_hash(
    index: int,
    expert: ModelSource,
    base: ModelSource,
    own: Mapping[str, str],
    merged: Mapping[str, ComponentMerge],
) -> str:
    found: dict[str, str] = {}
    for name, source in expert.components.items():
        merge = merged.get(name)
        if merge is not None and isinstance(merge.experts[index], WeightSource):
            found[name] = merge.expert_digests[index].combined(source.layout)
        elif _is_the_base(source, base.components.get(name)):
            found[name] = own[name]
        else:  # an adapter's small files, or the base's weights in another dtype
            found[name] = digest_source(source)
    return combine_digests(found)


def _is_the_base(source: Source, own: Source | None) -> bool:
    """Whether a component that is not merged has the base's bits, and not its values alone."""
    return isinstance(source, WeightSource) and own is not None and source.layout == own.layout


def require_hash(model: str, wanted: str | None, found: str) -> None:
    """Checks that a model or file is the one that a recipe names.

    Raises:
        MismatchError: it is another.

    """
    if wanted is not None and wanted != found:
        raise MismatchError(
            f"{model} is not the one that the recipe names: its hash is {found}, not {wanted}",
            fix="give what was merged, or remove the hash from the recipe",
        )
