"""What the arms of a comparison end as: descriptions of models, small enough to send to a worker.

Each has a ``digest`` of all that decides its weights, and opens as a denoiser within a run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..decouple import open_pipeline
from ..denoisers import Denoiser, RoutedDenoiser
from ..files import hash_value
from ..merge import InPlaceMerger, StateDict, TaskVector
from ..runs.context import RunContext


class ComparedModel(Protocol):
    """A finished model, wherever its weights are."""

    @property
    def digest(self) -> str:
        """Hash of what decides its output."""
        ...

    def open(self, context: RunContext) -> Denoiser:
        """The model on the run's device."""
        ...


@dataclass(frozen=True)
class PretrainedModel:
    """The pretrained model as it is; ``digest`` is its weights'."""

    digest: str

    def open(self, context: RunContext) -> Denoiser:
        """The run's own."""
        return context.denoiser


@dataclass(frozen=True)
class PipelineModel:
    """A pipeline's folder; ``digest`` is the hash of the folder as its run's manifest has it."""

    folder: Path
    digest: str

    def open(self, context: RunContext) -> Denoiser:
        """Loads it."""
        return context.load_pipeline(self.folder)


@dataclass(frozen=True)
class ElsewhereModel:
    """A pipeline's folder or hub id that no run here made; ``digest`` is its weights'."""

    path: str
    digest: str

    def open(self, context: RunContext) -> Denoiser:
        """Loads it."""
        return open_pipeline(self.path).to(context.accelerator.device)


@dataclass(frozen=True)
class RoutedModel:
    """An expert per timestep range; the same model may own several ranges and is loaded once.

    Attributes:
        parts: N models.
        boundaries: N + 1 increasing timesteps from 0 to T.

    """

    parts: tuple[ComparedModel, ...]
    boundaries: tuple[int, ...]

    @property
    def digest(self) -> str:
        """Hash of the parts and who owns what."""
        return hash_value(["routed", [part.digest for part in self.parts], list(self.boundaries)])

    def open(self, context: RunContext) -> Denoiser:
        """Loads each different part once."""
        opened = {part: part.open(context) for part in dict.fromkeys(self.parts)}
        return RoutedDenoiser([opened[part] for part in self.parts], self.boundaries)


@dataclass(frozen=True)
class CombinedModel:
    """``θ + Σ w_i (θ_i − θ)``: merges by given weights, soups, combinations of checkpoints.

    Attributes:
        base: digest of ``θ``, the run's pretrained model.
        parts: the models ``θ_i``, of its architecture.
        weights: ``w_i``.

    """

    base: str
    parts: tuple[ComparedModel, ...]
    weights: tuple[float, ...]

    @property
    def digest(self) -> str:
        """Hash of the parts and their weights."""
        digests = [part.digest for part in self.parts]
        return hash_value(["combined", self.base, digests, list(self.weights)])

    def open(self, context: RunContext) -> Denoiser:
        """Adds up in float32."""
        vectors = list(self._vectors(context))
        return InPlaceMerger(context.denoiser.clone(), context.base, vectors)(self.weights)

    def _vectors(self, context: RunContext) -> Iterator[TaskVector]:
        for index, part in enumerate(self.parts):
            weights = StateDict(part.open(context).weights(), f"part {index}")
            yield TaskVector.between(context.base, weights, f"part {index}")


def distinct_networks(model: ComparedModel) -> int:
    """How many networks must be in memory to sample from it."""
    return len(set(model.parts)) if isinstance(model, RoutedModel) else 1
