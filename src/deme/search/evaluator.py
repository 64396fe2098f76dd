"""From merging weights to features of images drawn from common noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..generate import ImageRequest, generate_images
from ..merge import InPlaceMerger
from ..metrics import Detector


class MergeEvaluator:
    """Draws every candidate's images from the same noise, so that differences are the weights'.

    Args:
        merger: switches one denoiser among candidates, in place.
        request: sampler, seed and count of the images.
        detector: what makes features of them.

    """

    def __init__(self, merger: InPlaceMerger, request: ImageRequest, detector: Detector) -> None:
        self.merger = merger
        self.request = request
        self.detector = detector

    def features(self, weights: Sequence[float]) -> Tensor:
        """Features float32 ``(count, D)`` of the merged model's images.

        Images are made and forgotten a batch at a time, so memory does not grow with their number.
        """
        denoiser = self.merger(weights)
        size = self.request.sampler.sample_batch_size
        every = range(self.request.count)
        batches = (every[start : start + size] for start in every[::size])
        return torch.cat(
            [
                self.detector.features(generate_images(denoiser, self.request, batch))
                for batch in batches
            ]
        )
