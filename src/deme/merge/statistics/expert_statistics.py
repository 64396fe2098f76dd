"""What was measured of one expert, and how."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field
from torch import Tensor

from ...config import Config
from ..methods.registry import Statistics


class StatisticsDescription(Config):
    """How statistics were collected; kept in the header of their file."""

    kind: Statistics
    """`fisher` or `regmean`."""
    min_timestep: int
    """First timestep of the expert's range."""
    max_timestep: int
    """The range's end, not included."""
    samples: int
    """How many draws of image, timestep and noise."""
    images: int
    """How many images they were drawn from."""
    seed: int
    """What the draws derive from."""
    model: str
    """The expert's name."""
    weights_sha256: str
    """Hash of its weights in memory, float32: ``StateDict.digest``."""
    data_sha256: str
    """Hash of the images."""
    deme_version: str
    """The version that collected them."""
    scale: float = Field(ge=0)
    """Root mean square of a Fisher over all elements; 1 for Gram matrices."""
    max_features: int | None = None
    """Layers of more inputs got no Gram matrix."""
    skipped: dict[str, str] = Field(default_factory=dict)
    """Weights without a Gram matrix, and why."""


class ExpertStatistics:
    """A tensor for each weight that was measured.

    Args:
        tensors: by the weight's name, as collected; perhaps read from a file when asked for.
        description: how they were collected.

    """

    def __init__(self, tensors: Mapping[str, Tensor], description: StatisticsDescription) -> None:
        self.tensors = tensors
        self.description = description

    def read(self, name: str) -> Tensor | None:
        """What a merge takes of a weight, float32; None where it was not measured.

        A Fisher is in units of its root mean square over the whole model, so that experts whose
        losses differ in size count alike, as in the code published with arXiv:2111.09832, which
        divides by the norm. A Gram matrix is as collected.

        Raises:
            StorageError: the file cannot be read.

        """
        if name not in self.tensors:
            return None
        tensor = self.tensors[name]
        scale = self.description.scale
        return tensor if scale in (0.0, 1.0) else tensor / scale
