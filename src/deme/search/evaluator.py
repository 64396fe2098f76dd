"""From a candidate to tables: features of images that are drawn from common noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..generate import ImageRequest, generate_images
from ..merge import InPlaceMerger, TaskVector
from .evaluation import Tables
from .merge_space import MergeSpace, Snapshot
from .space import Candidate

LOSS = "loss"


class MergeEvaluator:
    """Draws every candidate's images from the same noise, so that differences are the weights'.

    Args:
        space: what a candidate means.
        merger: switches one denoiser among merges, in place.
        request: sampler, seed and count of the images.
        features: by table name, what makes ``(B, columns)`` of uint8 images ``(B, C, H, W)``:
            detectors, a reward. None of them: no image is drawn.
        losses: makes the table ``loss`` of a denoiser, whose rows are not generated images.
        snapshots: the experts' task vectors at these snapshots, where a candidate names them.

    """

    def __init__(
        self,
        space: MergeSpace,
        merger: InPlaceMerger,
        request: ImageRequest,
        features: Mapping[str, Callable[[Tensor], Tensor]],
        losses: Callable[[Denoiser], Tensor] | None = None,
        snapshots: Callable[[Sequence[Snapshot]], Sequence[TaskVector]] | None = None,
    ) -> None:
        self.space = space
        self.merger = merger
        self.request = request
        self.features = dict(features)
        self.losses = losses
        self.snapshots = snapshots

    def tables(self, candidate: Candidate, rows: range) -> Tables:
        """Tables of these of the candidate's images; ``loss`` with the first of them.

        Images are made and forgotten a batch at a time, so memory does not grow with their number.
        """
        point = self.space.at(candidate)
        if point.snapshots and self.snapshots is not None:
            self.merger.vectors = tuple(self.snapshots(point.snapshots))
        denoiser = self.merger(point.weights, point.parameters)
        found: dict[str, list[Tensor]] = {name: [] for name in self.features}
        size = self.request.sampler.sample_batch_size
        for start in rows[::size] if self.features else ():
            batch = range(start, min(start + size, rows.stop))
            images = generate_images(denoiser, self.request, batch)
            for name, measure in self.features.items():
                found[name].append(measure(images))
        tables = {name: torch.cat(parts) for name, parts in found.items()}
        if self.losses is not None and rows.start == 0:
            tables[LOSS] = self.losses(denoiser)
        return tables
