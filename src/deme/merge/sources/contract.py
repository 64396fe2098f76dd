"""What a merge reads: named tensors in files, one at a time, weights and differences apart."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor


@dataclass(frozen=True)
class TensorInfo:
    """What is known of a tensor before it is read."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def numel(self) -> int:
        """How many elements it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes it takes as stored."""
        return self.numel * self.dtype.itemsize


class WeightSource(ABC):
    """The weights of one component (a denoiser, a text encoder), read when they are asked for."""

    origin: str
    """Where they come from, for messages."""
    layout: Mapping[str, TensorInfo]
    """What there is, in the order of the names."""
    files: tuple[Path, ...] = ()
    """The files that hold the tensors; none where they are in memory."""

    @abstractmethod
    def read(self, name: str) -> Tensor:
        """The tensor as it is stored; mapped from its file where that can be, so never written to.

        Safe to call from several threads.

        Raises:
            StorageError: the file is truncated or cannot be read.

        """


class DeltaSource(ABC):
    """What an expert adds to the weights of one component, ``τ``, read when it is asked for.

    For experts that are not kept as weights: low-rank adapters, compressed task vectors.
    """

    origin: str
    """Where it comes from, for messages."""
    layout: Mapping[str, TensorInfo]
    """The weights that it changes, in the base's names and shapes; the others stay as they are."""
    files: tuple[Path, ...] = ()
    """The files that hold it."""

    @abstractmethod
    def read_delta(self, name: str, base: Tensor) -> Tensor:
        """``τ`` of one tensor: float32, of the base tensor's shape, newly made.

        Args:
            name: one of ``layout``.
            base: ``θ`` of this name as stored: exact compression needs it; others do not.

        Raises:
            StorageError: the file is truncated or cannot be read.
            MismatchError: it was made for another base.

        """


Source = WeightSource | DeltaSource


@dataclass(frozen=True)
class ModelSource:
    """A model on disk as a merge sees it: its components, and what else lies in its folder."""

    origin: str
    """The path or hub id as it was given."""
    components: Mapping[str, Source]
    """By the component's name (``unet``, ``transformer``, ``text_encoder``, ``vae``, …)."""
    folder: Path | None
    """The pipeline's or component's folder, whose other files go with it; None for one file."""
    form: str
    """``pipeline``, ``component``, ``file`` (weights under their own names) or ``adapter``."""
    timesteps: tuple[int | None, int | None] = (None, None)
    """First timestep of the range that it owns and its end, where its file says so."""
