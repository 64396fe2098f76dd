"""What compressing an expert came to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ComponentReport:
    """One component."""

    name: str
    tensors: int
    changed: int
    """Tensors that are not the base's."""
    bytes_before: int
    """As the expert stores them."""
    bytes_after: int
    """Of the payloads in the file."""
    error: float
    """``‖τ̂ − τ‖ / ‖τ‖``, measured; 0 where every bit comes back."""

    @property
    def ratio(self) -> float:
        """How many times smaller it became."""
        return self.bytes_before / max(1, self.bytes_after)


@dataclass(frozen=True)
class CompressionReport:
    """A whole expert."""

    path: Path
    components: tuple[ComponentReport, ...]
    """Those that differ from the base's."""
    equal: tuple[str, ...]
    """Components that are the base's and take no room."""
    file_bytes: int
    """Of the file, with all that it says of itself."""

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than the components that differ."""
        return sum(part.bytes_before for part in self.components) / self.file_bytes

    def lines(self) -> Iterator[str]:
        """The report for people."""
        for part in self.components:
            exactness = f"relative error {part.error:.4f}" if part.error else "every bit"
            yield (
                f"{part.name}: {part.changed} of {part.tensors} tensors changed, "
                f"{part.bytes_before / 1e6:.1f} MB to {part.bytes_after / 1e6:.1f} MB "
                f"({part.ratio:.2f} times smaller), {exactness}"
            )
        if self.equal:
            yield f"equal to the base: {', '.join(self.equal)}"
        yield f"{self.path}: {self.file_bytes / 1e6:.1f} MB, {self.ratio:.2f} times smaller"
