"""What a plan uses in place of a model, images or a detector that cannot be had here."""

from __future__ import annotations

import torch

from ..data import MemorySource
from ..denoisers import Denoiser
from ..denoisers.architectures import ARCHITECTURES
from ..errors import DataError, DemeError, ModelError, StorageError
from .context import RunContext

IMAGES = 64


def with_stand_ins(context: RunContext) -> tuple[RunContext, dict[str, str]]:
    """The run with stand-ins for what is not here, and for each a sentence that says so.

    A well-known architecture is built with random weights, since a step's time does not depend
    on them; images are noise; a detector that cannot be fetched is left out.

    Returns:
        The run, and sentences under ``model``, ``data`` and ``detector`` as far as they are absent.

    Raises:
        ModelError: the model cannot be had and its architecture is not known.

    """
    context, absent = _with_model(context)
    shared = vars(context)  # where cached properties are
    try:
        _ = context.source
    except DataError as error:
        shared["source"] = noise_source(context.denoiser)
        side = context.denoiser.resolution
        absent["data"] = f"{_reason(error)}; timed with noise of {side}×{side} in its place"
    try:
        _ = context.detectors
    except StorageError as error:
        shared["detectors"] = []
        absent["detector"] = _reason(error)
    return context, absent


def noise_source(denoiser: Denoiser) -> MemorySource:
    """Images of noise that fit the model, with labels where it takes some."""
    side = denoiser.resolution
    shape = (IMAGES, denoiser.image_channels, side, side)
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, shape, generator=draws, dtype=torch.uint8)
    labels = None
    if denoiser.num_classes is not None:
        labels = torch.arange(IMAGES) % denoiser.num_classes
    return MemorySource.from_images(images, labels, name="noise")


def _with_model(context: RunContext) -> tuple[RunContext, dict[str, str]]:
    try:
        _ = context.denoiser
    except ModelError as error:
        if context.spec.model.path not in ARCHITECTURES:
            raise
        model = context.spec.model.model_copy(update={"random_weights": True})
        spec = context.spec.model_copy(update={"model": model})
        context = RunContext(spec, context.store, context.reporter)
        words = "weights were not loaded, timed with random ones"
        return context, {"model": f"{words} ({_reason(error)})"}
    return context, {}


def _reason(error: DemeError) -> str:
    """The message without its advice, on one line."""
    words = " ".join(str(error).split()).partition(" Fix:")[0].partition(" (")[0]
    return words.rstrip(".")
