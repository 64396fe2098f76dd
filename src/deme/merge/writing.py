"""Merging given experts with given weights into a new pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from ..denoisers import Denoiser
from ..errors import ConfigError
from ..files import atomic_path
from .apply import merge_weights
from .reading import read_weights
from .recipe import MergeRecipe, MergeSource
from .state_dict import StateDict
from .task_vector import TaskVector


def write_merge(
    denoiser: Denoiser,
    sources: Sequence[MergeSource],
    output: Path,
    *,
    method: str = "task_arithmetic",
) -> MergeRecipe:
    """Writes the merged pipeline and its recipe to ``output``.

    Args:
        denoiser: the pretrained model.
        sources: experts with their weights.
        output: the new folder; it must not exist.
        method: name of a registered merge method.

    Raises:
        ConfigError: the output exists, or an expert is named twice.
        MismatchError: an expert of another architecture.

    """
    if output.exists():
        raise ConfigError(f"{output} exists", fix="choose another --output, or remove it")
    paths = [Path(source.model).expanduser().absolute() for source in sources]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"The expert {path} is given twice", fix="add its weights instead")
    base = StateDict(
        {name: tensor.clone() for name, tensor in denoiser.weights().items()}, denoiser.name
    )
    experts = [read_weights(path) for path in paths]
    vectors = [TaskVector.between(base, expert) for expert in experts]
    weights = [source.weight for source in sources]
    denoiser.load_weights(merge_weights(base, vectors, weights, method=method))
    recipe = MergeRecipe(
        merge_method=method,
        base_model=denoiser.name,
        base_sha256=base.digest(),
        models=[
            source.model_copy(update={"sha256": expert.digest()})
            for source, expert in zip(sources, experts, strict=True)
        ],
    )
    with atomic_path(output) as partial:
        partial.mkdir()
        denoiser.save(partial)
        text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
        (partial / "recipe.yaml").write_text(text, "utf-8")
    return recipe
