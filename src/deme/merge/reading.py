"""A model's weights in memory, from whatever files they are kept in."""

from __future__ import annotations

from pathlib import Path

from ..denoisers.contract import PROJECTIONS_FILE
from ..denoisers.loading import DENOISING_COMPONENTS
from ..errors import ModelError
from .sources.component_files import choose_weight_files
from .sources.mapped import MappedSource
from .sources.tensor_files import open_tensor_file
from .state_dict import StateDict

SAFETENSORS = "diffusion_pytorch_model.safetensors"


def read_weights(path: Path) -> StateDict:
    """The denoising network's weights from a pipeline folder, a component's folder, or one file.

    Files may be whole or in shards, a variant where there is no other, safetensors or plain
    checkpoints of tensors. Channel-wise projections that were saved beside a pipeline's own files
    belong to its weights.

    Raises:
        ModelError: nothing to read there, or a pickle that holds more than tensors.
        StorageError: a truncated file, or one that may not be read.

    """
    source = _open(path)
    # copies: a mapped file may change, and lies at addresses that are not aligned
    weights = {name: source.read(name).clone() for name in source.layout}
    home = source.files[0].parent
    projections = home.parent / PROJECTIONS_FILE
    if home.name in DENOISING_COMPONENTS and projections.is_file():
        kept = open_tensor_file(projections, str(path))
        weights |= {name: kept.read(name).clone() for name in kept.layout}
    return StateDict(weights, str(path))


def _open(path: Path) -> MappedSource:
    if path.is_file():
        return open_tensor_file(path, str(path))
    for folder in (path, *(path / component for component in DENOISING_COMPONENTS)):
        files = choose_weight_files(folder, None)
        if files is not None:
            return files.open(str(path))
    raise ModelError(
        f"No weights found at {path}",
        choices=[f"<folder>/{name}/{SAFETENSORS}" for name in DENOISING_COMPONENTS],
        fix="give a diffusers pipeline folder or a weights file",
    )
