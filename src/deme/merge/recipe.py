"""What was merged from what: in mergekit's words, stored beside the result."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from ..config import Config


class MergeSource(Config):
    """One expert in a merge."""

    model: str
    """The expert's folder or name."""
    min_timestep: int | None = None
    """First timestep of the range it owns."""
    max_timestep: int | None = None
    """The range's end, not included."""
    weight: float
    """``w_i``; may be negative."""
    sha256: str | None = None
    """Hash of the expert's weights."""


class MergeRecipe(Config):
    """A merge that can be repeated."""

    merge_method: str = "task_arithmetic"
    """Name of the merge method."""
    base_model: str
    """The pretrained model."""
    base_sha256: str | None = None
    """Hash of its weights."""
    models: list[MergeSource]
    """The experts."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """Parameters of the method."""
    dtype: Literal["float32"] = "float32"
    """Arithmetic and storage."""
