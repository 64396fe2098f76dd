"""Requests for images of a run, and features of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ...denoisers import Denoiser
from ...generate import ImageRequest, SamplerConfig, generate_images
from ...metrics import Detector
from ...metrics.detector import FEATURES
from ...randomness import generator
from ..context import RunContext
from ..measured_tables import table_key, tables_read


def make_request(
    context: RunContext, sampler: SamplerConfig, seed: int, count: int
) -> ImageRequest:
    """A set of images under the run's model; class labels follow the data's own frequencies."""
    return ImageRequest(sampler, seed, count, _labels(context, seed, count))


def search_request(context: RunContext) -> ImageRequest:
    """The images of one search candidate."""
    search = context.spec.search
    return make_request(context, search, search.seed, search.images)


def _labels(context: RunContext, seed: int, count: int) -> Tensor | None:
    if context.denoiser.num_classes is None:
        return None
    draws = generator(seed, "labels")
    indices = torch.randint(len(context.source), (count,), generator=draws)
    return context.source.batch(indices.tolist()).labels


def draw_features(
    denoiser: Denoiser,
    request: ImageRequest,
    detectors: Sequence[Detector],
    *,
    metrics: Sequence[str] = (),
    indices: Sequence[int] | None = None,
    keep: int = 0,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Tensor]:
    """Features of the request's images by detector; the first ``keep`` images under ``images``.

    What ``metrics`` read beside features is there too, under :func:`.measured_tables.table_key`.

    Args:
        denoiser: what draws them.
        request: how they are drawn.
        detectors: what makes features of them.
        metrics: what will be measured.
        indices: which of its images; None is all.
        keep: how many images come back beside the features.
        on_progress: called with the number of images just finished.

    Images are made and forgotten in chunks, so that memory does not grow with their number.
    """
    parts: dict[str, list[Tensor]] = {}
    kept: list[Tensor] = []
    size = request.sampler.sample_batch_size
    indices = range(request.count) if indices is None else indices
    for start in range(0, len(indices), size):
        part = indices[start : start + size]
        images = generate_images(denoiser, request, part, on_progress=on_progress)
        for detector in detectors:
            names = (FEATURES, *tables_read(detector, metrics))
            for name, table in detector.tables(images, names).items():
                parts.setdefault(table_key(detector.name, name), []).append(table)
        if start < keep:
            kept.append(images[: keep - start])
    features = {name: torch.cat(found) for name, found in parts.items()}
    return {**features, "images": torch.cat(kept)} if keep else features
