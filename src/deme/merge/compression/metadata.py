"""What a compressed expert's file says of itself, in the metadata of a safetensors file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError

from ...config import Config
from ...errors import StorageError

FORMAT = "deme-compressed-expert"
"""The value of ``format`` in the file's metadata; other safetensors files say ``pt`` there."""
KEY = "deme"
"""Under this key of the file's metadata stands the JSON."""
VERSION = 1

Component = Annotated[str, StringConstraints(pattern="^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
"""A component becomes the name of a folder: it holds nothing that leads to another place."""


class CompressedComponentInfo(Config):
    """One component of an expert that differs from the base's."""

    error: Annotated[float, Field(ge=0)] = 0.0
    """``‖τ̂ − τ‖ / ‖τ‖`` over all its tensors, measured; 0: every bit."""


class CompressedExpert(Config):
    """What is in a file."""

    format_version: Literal[1] = VERSION
    """Of this format."""
    base_model: str
    """The base as it was named when the expert was compressed."""
    expert: str
    """The expert's name."""
    min_timestep: int | None = None
    """First timestep of the range that the expert owns."""
    max_timestep: int | None = None
    """The range's end, not included."""
    max_error: float | None = None
    """What was promised of each component's error; None: every bit."""
    components: dict[Component, CompressedComponentInfo]
    """Those that differ from the base's."""

    def to_metadata(self) -> dict[str, str]:
        """The metadata of the file; what is at its default is left out."""
        values = self.model_dump(mode="json", exclude_defaults=True)
        text = json.dumps({"format_version": self.format_version, **values}, ensure_ascii=False)
        return {"format": FORMAT, KEY: text}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str], origin: str) -> CompressedExpert:
        """What :meth:`to_metadata` wrote.

        Raises:
            StorageError: this is not the metadata of a compressed expert, or of a later format.

        """
        if metadata.get("format") != FORMAT or KEY not in metadata:
            raise StorageError(
                f"{origin} is not a compressed expert", fix="make one with `deme compress`"
            )
        try:
            values = json.loads(metadata[KEY])
            if isinstance(values, dict) and values.get("format_version") != VERSION:
                raise StorageError(
                    f"{origin} has the format version {values.get('format_version')!r}; this "
                    f"version of deme reads {VERSION}",
                    fix="upgrade deme",
                )
            return cls.model_validate(values)
        except (ValidationError, ValueError, RecursionError) as error:
            raise StorageError(
                f"{origin} does not say what it holds ({str(error).splitlines()[0]})",
                fix="compress the expert again",
            ) from error
