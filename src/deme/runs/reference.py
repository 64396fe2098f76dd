"""The real images' side of every number: features, the split of them, statistics, the floor."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..data import ImageSource, disjoint_halves, pixels
from ..files import atomic_path, hash_bytes
from ..metrics import (
    Detector,
    FeatureStatistics,
    FrechetReference,
    Protocol,
    RealFloor,
    metric_named,
    real_floor,
)
from ..metrics.detector import FEATURES
from .measured_tables import tables_read
from .spec import RunSpec
from .store import RunStore

SPLIT_SEED = 0
"""The halves are the same in every run, so that numbers of different runs compare."""
MOST_IMAGES = 50_000
FLOOR_REPEATS = 10
CHUNK = 4096


class Reference:
    """Features of the real images under one detector, and what search and evaluation see of them.

    With ``reference: halves`` the search compares with one half and the evaluation with the other,
    so weights cannot be fitted to the images that judge them.

    Args:
        store: the run's folder, where features and statistics are kept.
        source: the real images.
        detector: what makes the features.
        spec: the run's configuration.

    """

    def __init__(
        self, store: RunStore, source: ImageSource, detector: Detector, spec: RunSpec
    ) -> None:
        self.store = store
        self.source = source
        self.detector = detector
        self.halves = spec.evaluate.reference == "halves"
        self._floors: dict[str, RealFloor] = {}
        self._tables: dict[str, Tensor] = {}

    @cached_property
    def features(self) -> Tensor:
        """Features of all real images, float32 ``(N, D)``."""
        artifact = f"reference/{self.detector.name}.safetensors"
        made_from = {"data": self.source.digest, "detector": self.detector.digest}
        path = self.store.path / artifact
        if not self.store.is_complete(artifact, made_from):
            parts = [
                self.detector.features(pixels(self.source, list(range(start, stop))))
                for start, stop in _chunks(len(self.source))
            ]
            with atomic_path(path) as partial:
                save_file({"features": torch.cat(parts)}, partial)
            self.store.complete(artifact, made_from)
        return load_file(path)["features"]

    def table(self, name: str) -> Tensor:
        """One of the detector's tables of all real images, float32 ``(N, width)``.

        Raises:
            ConfigError: the detector does not make it.

        """
        if name == FEATURES:
            return self.features
        if name not in self._tables:
            self._tables[name] = self._made(name)
        return self._tables[name]

    def _made(self, name: str) -> Tensor:
        artifact = f"reference/{self.detector.name}-{name}.safetensors"
        made_from = {"data": self.source.digest, "detector": self.detector.digest}
        path = self.store.path / artifact
        if not self.store.is_complete(artifact, made_from):
            parts = [
                self.detector.tables(pixels(self.source, list(range(start, stop))), [name])[name]
                for start, stop in _chunks(len(self.source))
            ]
            with atomic_path(path) as partial:
                save_file({name: torch.cat(parts)}, partial)
            self.store.complete(artifact, made_from)
        return load_file(path)[name]

    def evaluation_tables(self, metrics: Sequence[str]) -> dict[str, Tensor]:
        """What the metrics read of the evaluation's real images, by the table's name."""
        names = (FEATURES, *tables_read(self.detector, metrics))
        return {name: self.table(name)[self.split[0]] for name in names}

    @cached_property
    def split(self) -> tuple[Tensor, Tensor]:
        """Indices of the evaluation's and of the search's real images."""
        first, second = disjoint_halves(len(self.source), SPLIT_SEED)
        if self.halves:
            return first, second
        everything = torch.arange(len(self.source))
        return everything, everything

    @property
    def evaluation_count(self) -> int:
        """How many real images the evaluation compares with."""
        return len(self.split[0])

    def generated_count(self, wanted: int | None) -> int:
        """How many images are generated for each number."""
        return wanted or min(self.evaluation_count, MOST_IMAGES)

    @cached_property
    def evaluation(self) -> FrechetReference:
        """The Fréchet reference that judges."""
        return self._frechet(self.split[0], "evaluation")

    def prepare(self) -> None:
        """Makes features and statistics now, once, before several workers need them."""
        for name, indices in zip(("evaluation", "search"), self.split, strict=True):
            self._frechet(indices, name)

    @cached_property
    def search(self) -> FrechetReference:
        """The Fréchet reference that the search minimises against."""
        return self._frechet(self.split[1], "search")

    def search_distance(self, features: Tensor) -> float:
        """The distance that the search minimises, of generated features ``(M, D)``."""
        return self.search.distance(self._statistics(features, self.split[1]))

    def _statistics(self, features: Tensor, indices: Tensor) -> FeatureStatistics:
        return FeatureStatistics.from_features(features, self.protocol(indices))

    def protocol(self, indices: Tensor) -> Protocol:
        """How numbers against these real images are made."""
        digest = hash_bytes(self.source.digest.encode(), indices.numpy().tobytes())
        return dataclasses.replace(
            self.detector.protocol(f"{self.source.resolution}px"),
            reference_digest=digest,
            reference_images=len(indices),
        )

    def floor(self, metric: str) -> RealFloor:
        """The metric between disjoint sets of real images, at the evaluation's counts if it can.

        With halves, the first value is the very split of search and evaluation.
        """
        if metric not in self._floors:
            halves = [
                disjoint_halves(len(self.source), SPLIT_SEED + i) for i in range(FLOOR_REPEATS)
            ]
            name = metric_named(metric).reads
            tables = {name: self.table(name)}
            self._floors[metric] = real_floor(tables, metric=metric, halves=halves)
        return self._floors[metric]

    def _frechet(self, indices: Tensor, name: str) -> FrechetReference:
        statistics = self._statistics(self.features[indices], indices)
        path = self.store.path / "reference" / f"{self.detector.name}-{name}.npz"
        if not Path(path).is_file():
            statistics.save(path)
        return FrechetReference(statistics)


def _chunks(count: int) -> list[tuple[int, int]]:
    return [(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
