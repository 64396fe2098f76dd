"""Opening a pipeline whole: its network, and the projections that were saved beside it."""

from __future__ import annotations

from pathlib import Path

from ..denoisers import Denoiser, ModelConfig, load_denoiser
from ..denoisers.loading import resolve_folder
from .projection import restore_projections


def open_pipeline(config: ModelConfig | str | Path, cache_folder: Path | None = None) -> Denoiser:
    """A pipeline as a denoiser, as :func:`~deme.denoisers.load_denoiser` gives it.

    ``block`` projections that deme saved beside it are put back: without them it would be another
    model.

    Args:
        config: the model's configuration, or its path or hub id alone.
        cache_folder: where a configuration-only model is written.

    Raises:
        ModelError: not a pipeline, or a family that is not supported.
        StorageError: a truncated file.
    """
    if not isinstance(config, ModelConfig):
        config = ModelConfig(path=str(config))
    denoiser = load_denoiser(config, cache_folder=cache_folder)
    restore_projections(denoiser, resolve_folder(config, cache_folder))
    return denoiser
