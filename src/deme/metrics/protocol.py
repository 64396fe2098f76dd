"""How a number was made, and whether two numbers may be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from ..errors import ProtocolError

UNKNOWN = "unknown"
FEATURE_FIELDS = ("detector_digest", "resize")
"""What two sets of features must share before a distance between them means something."""


@dataclass(frozen=True)
class Protocol:
    """Everything that moves a metric besides the model it measures.

    Attributes:
        detector: the detector's name: a label, never compared.
        detector_digest: SHA-256 of its weights.
        resize: what was done to the images before the detector, in words.
        reference_digest: hash of the real images.
        reference_images: how many they are.
        generated_images: how many generated images there are for each seed.
        sampler: the sampler's name.
        sampler_steps: its number of steps.
        seeds: the noise seeds that the number is a mean over.

    """

    detector: str = UNKNOWN
    detector_digest: str = UNKNOWN
    resize: str = "none"
    reference_digest: str | None = None
    reference_images: int | None = None
    generated_images: int | None = None
    sampler: str | None = None
    sampler_steps: int | None = None
    seeds: tuple[int, ...] = ()

    @property
    def known(self) -> bool:
        """Whether it is known which network made the features."""
        return self.detector_digest != UNKNOWN

    def describe(self) -> str:
        """One line for a table's caption."""
        if not self.known:
            return "protocol unknown"
        parts = [f"detector {self.detector} ({_short(self.detector_digest)})"]
        parts.append(f"resize {self.resize}")
        if self.generated_images is not None:
            parts.append(f"{self.generated_images} generated images")
        if self.reference_images is not None:
            data = "" if self.reference_digest is None else f" ({_short(self.reference_digest)})"
            parts.append(f"{self.reference_images} real images{data}")
        if self.sampler is not None:
            steps = "" if self.sampler_steps is None else f" {self.sampler_steps} steps"
            parts.append(f"{self.sampler}{steps}")
        if self.seeds:
            parts.append(f"seeds {', '.join(map(str, self.seeds))}")
        return " · ".join(parts)

    def require_same(
        self,
        other: Protocol,
        *,
        fields: Collection[str] | None = None,
        allow_unknown: bool = False,
    ) -> None:
        """Refuses to compare numbers that were made in different ways.

        Args:
            other: the other number's protocol.
            fields: which fields must agree; None: all save the detector's name, which its digest
                identifies.
            allow_unknown: go on where either protocol is unknown, as pytorch-fid's files are.

        Raises:
            ProtocolError: naming each field that differs, with both values.

        """
        if not (self.known and other.known):
            if allow_unknown:
                return
            raise ProtocolError(
                "It is unknown which detector made one of these: comparing them may mean nothing",
                fix="make the reference statistics anew with deme, or pass allow_unknown=True",
            )
        names = [field.name for field in dataclasses.fields(self) if field.name != "detector"]
        wanted = names if fields is None else [name for name in names if name in fields]
        differing = [
            f"{name}: {self._label(name)} ≠ {other._label(name)}"
            for name in wanted
            if getattr(self, name) != getattr(other, name)
        ]
        if differing:
            raise ProtocolError(
                f"These were made under different protocols ({'; '.join(differing)})",
                fix="measure both under one protocol",
            )

    def require_same_features(self, other: Protocol, *, allow_unknown: bool = False) -> None:
        """Refuses a distance between features of different detectors or resizes.

        Raises:
            ProtocolError: naming each field that differs.

        """
        self.require_same(other, fields=FEATURE_FIELDS, allow_unknown=allow_unknown)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**dataclasses.asdict(self), "seeds": list(self.seeds)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` made.

        Raises:
            ProtocolError: a field that this version does not know.

        """
        names = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise ProtocolError(
                f"The protocol has unknown fields: {', '.join(unknown)}",
                choices=names,
                fix="it was written by another version of deme; make it anew",
            )
        return cls(**{**values, "seeds": tuple(values.get("seeds", ()))})

    def _label(self, name: str) -> str:
        value = getattr(self, name)
        if name == "detector_digest":
            return f"{self.detector} ({_short(value)})"
        return _short(value) if name == "reference_digest" and value else str(value)


def _short(digest: str) -> str:
    return digest[:12]
