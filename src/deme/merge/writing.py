"""Merging given experts with given weights into a new pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from ..denoisers import Denoiser
from ..denoisers.contract import PROJECTIONS
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
    parameters: Mapping[str, Any] | None = None,
) -> MergeRecipe:
    """Writes the merged pipeline and its recipe to ``output``.

    Args:
        denoiser: the pretrained model; it stays as it is.
        sources: experts with their weights.
        output: the new folder; it must not exist.
        method: name of a registered merge method.
        parameters: what the method takes beside.

    Raises:
        ConfigError: the output exists, or an expert is named twice.
        MismatchError: an expert of another architecture.

    """
    if output.exists():
        raise ConfigError(f"{output} exists", fix="choose another --output, or remove it")
    paths = [Path(source.model).expanduser().resolve() for source in sources]
    for path in paths:
        if paths.count(path) > 1:
            raise ConfigError(f"The expert {path} is given twice", fix="add its weights instead")
    experts = [read_weights(path) for path in paths]
    merged = denoiser.clone()
    _match_projections(merged, experts)
    base = StateDict(merged.weights(), denoiser.name)
    vectors = [TaskVector.between(base, _in_float32(expert, base)) for expert in experts]
    weights = [source.weight for source in sources]
    recipe = MergeRecipe(
        merge_method=method,
        base_model=denoiser.name,
        base_sha256=base.digest(),
        models=[
            source.model_copy(update={"sha256": expert.digest()})
            for source, expert in zip(sources, experts, strict=True)
        ],
        parameters=dict(parameters or {}),
    )
    merged.load_weights(merge_weights(base, vectors, weights, method=method, parameters=parameters))
    with atomic_path(output) as partial:
        partial.mkdir()
        merged.save(partial)
        text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
        (partial / "recipe.yaml").write_text(text, "utf-8")
    return recipe


def _match_projections(denoiser: Denoiser, experts: Sequence[StateDict]) -> None:
    """Gives the base identity projections where experts kept theirs: then the layouts agree."""
    if any(name.startswith(PROJECTIONS) for expert in experts for name in expert) and not any(
        name.startswith(PROJECTIONS) for name in denoiser.weights()
    ):
        from ..decouple import attach_projections  # training's libraries are needed here alone

        attach_projections(denoiser, "block")


def _in_float32(expert: StateDict, base: StateDict) -> StateDict:
    """An expert that was saved in half precision, where its base was so too: nothing is lost.

    The base is float32 in memory whatever its file has. A half-precision expert of a base that
    half precision cannot hold stays as it is, and is refused: its task vector would be rounding.
    """
    widened = {
        name: tensor.float() if _holds(tensor.dtype, base.get(name)) else tensor
        for name, tensor in expert.items()
    }
    return StateDict(widened, expert.origin)


def _holds(dtype: torch.dtype, tensor: torch.Tensor | None) -> bool:
    if tensor is None or dtype not in (torch.float16, torch.bfloat16):
        return False
    return torch.equal(tensor.to(dtype).to(tensor.dtype), tensor)
