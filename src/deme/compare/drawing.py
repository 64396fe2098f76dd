"""Images of the arms, as features: kept by what decides them, so that nothing is drawn twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..errors import StorageError
from ..files import atomic_path, hash_value
from ..generate import SamplerConfig
from ..runs.context import RunContext
from ..runs.stages.evaluate import SAMPLES_KEPT, SHARD_SIZE
from ..runs.stages.sampling import draw_features, make_request
from .models import ComparedModel


@dataclass(frozen=True)
class ImageSet:
    """A set of images of one model.

    Attributes:
        model: what draws them.
        sampler: how.
        seed: of the noise, the same for every model.
        count: how many.
        judged: whether all detectors see them, or the search's alone.

    """

    model: ComparedModel
    sampler: SamplerConfig
    seed: int
    count: int
    judged: bool

    def tasks(self) -> list[DrawTask]:
        """Its parts."""
        starts = range(0, self.count, SHARD_SIZE)
        return [DrawTask(self, start, min(start + SHARD_SIZE, self.count)) for start in starts]

    def tables(self, context: RunContext) -> dict[str, Tensor]:
        """Features ``(count, D)`` by detector and what the metrics read besides, when it is drawn.

        Keys are those of :func:`~deme.runs.measured_tables.table_key`.

        Raises:
            StorageError: a file of them is missing or damaged.

        """
        parts = [task.read(context) for task in self.tasks()]
        names = [name for name in parts[0] if name != "images"]
        return {name: torch.cat([part[name] for part in parts]) for name in names}

    def first_images(self, context: RunContext) -> Tensor:
        """The first images, uint8 ``(≤ 64, C, H, W)``."""
        return self.tasks()[0].read(context)["images"]


@dataclass(frozen=True)
class DrawTask:
    """Images ``[start, stop)`` of a set."""

    images: ImageSet
    start: int
    stop: int

    def run(self, context: RunContext) -> bool:
        """Draws them and keeps their features, unless they are there."""
        artifact, made_from = self.artifact(context), self._made_from(context)
        if context.store.is_complete(artifact, made_from):
            return False
        images = self.images
        features = draw_features(
            images.model.open(context),
            make_request(context, images.sampler, images.seed, images.count),
            context.detectors if images.judged else context.detectors[:1],
            metrics=context.spec.evaluate.metrics if images.judged else (),
            indices=range(self.start, self.stop),
            keep=SAMPLES_KEPT if self.start == 0 else 0,
        )
        with atomic_path(context.store.path / artifact) as partial:
            save_file(features, partial)
        context.store.complete(artifact, made_from)
        return True

    def read(self, context: RunContext) -> dict[str, Tensor]:
        """What was kept of them.

        Raises:
            StorageError: it is missing or damaged.

        """
        path = context.store.path / self.artifact(context)
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise StorageError(
                f"Cannot read {path}: {error}",
                fix="remove it and repeat the command, which draws these images again",
            ) from error

    def artifact(self, context: RunContext) -> str:
        """Where they are, in the comparison's folder."""
        return f"features/{hash_value(self._made_from(context))[:20]}.safetensors"

    def _made_from(self, context: RunContext) -> dict[str, object]:
        images = self.images
        detectors = context.detectors if images.judged else context.detectors[:1]
        return {
            "model": images.model.digest,
            "sampler": images.sampler.model_dump(
                mode="json", include=set(SamplerConfig.model_fields)
            ),
            "seed": images.seed,
            "count": images.count,
            "images": [self.start, self.stop],
            "detectors": [detector.digest for detector in detectors],
            "metrics": sorted(context.spec.evaluate.metrics) if images.judged else [],
            "labels": None if context.denoiser.num_classes is None else context.source.digest,
        }


def draw_all(context: RunContext, sets: Sequence[ImageSet], title: str) -> None:
    """Draws what is missing of the sets, side by side where there are workers."""
    tasks = list(dict.fromkeys(_missing(context, sets)))
    with context.reporter.bar(title, len(tasks)) as bar:
        for _ in context.workers.map(do_draw, tasks):
            bar.advance(1)


def do_draw(context: RunContext, task: DrawTask) -> bool:
    """Runs one task, in whichever process."""
    return task.run(context)


def _missing(context: RunContext, sets: Sequence[ImageSet]) -> Iterator[DrawTask]:
    for images in sets:
        for task in images.tasks():
            if not (context.store.path / task.artifact(context)).is_file():
                yield task
