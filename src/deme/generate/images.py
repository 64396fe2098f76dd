"""Images by index: each from a seed of its own, whatever the batch size or the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..randomness import generator, noise_like_image
from .config import SamplerConfig
from .sampler import sample_latents


@dataclass(frozen=True)
class ImageRequest:
    """A set of images to be drawn.

    Args:
        sampler: how.
        seed: the set's seed; image i's noise derives from (seed, i).
        count: how many.
        labels: class labels ``(count,)`` for a class-conditional model.

    """

    sampler: SamplerConfig
    seed: int
    count: int
    labels: Tensor | None = None

    def label_slice(self, indices: Sequence[int]) -> Tensor | None:
        """The labels of these images."""
        return None if self.labels is None else self.labels[list(indices)]


def initial_noise(seed: int, indices: Sequence[int], shape: tuple[int, ...]) -> Tensor:
    """``x_T`` of these images, ``(len(indices), *shape)``; the same for every model compared."""
    return torch.stack([noise_like_image(seed, index, shape, "x_T") for index in indices])


def generate_images(
    denoiser: Denoiser,
    request: ImageRequest,
    indices: Sequence[int] | None = None,
    *,
    on_progress: Callable[[int], None] | None = None,
) -> Tensor:
    """Draws images of a request: uint8 ``(len(indices), C, H, W)`` on the CPU.

    Args:
        denoiser: any denoiser.
        request: what to draw.
        indices: which of its images; None is all.
        on_progress: called with the number of images just finished.

    """
    indices = range(request.count) if indices is None else indices
    size = request.sampler.sample_batch_size
    images = []
    for start in range(0, len(indices), size):
        part = list(indices[start : start + size])
        noise = initial_noise(request.seed, part, denoiser.sample_shape)
        generators = [generator(request.seed, "sampler", index) for index in part]
        conditioning = denoiser.condition(labels=request.label_slice(part))
        x_0 = sample_latents(denoiser, request.sampler, noise, conditioning, generators)
        images.append(denoiser.decode(x_0).cpu())
        if on_progress is not None:
            on_progress(len(part))
    if not images:
        side = denoiser.resolution
        return torch.empty((0, denoiser.image_channels, side, side), dtype=torch.uint8)
    return torch.cat(images)
