"""Detectors by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ..errors import ConfigError
from .clip import PRESETS, load_clip
from .detector import Detector
from .digits import load_digits_detector
from .dinov2 import load_dinov2
from .inception_fidelity import load_inception_fidelity
from .pixels import load_pixels
from .torchscript import INCEPTION_URL, load_scripted_detector

Device = str | torch.device
FOLDER = "<folder or hub id>"
TORCHSCRIPT = ("the path of a TorchScript file", "an https URL of one")


@dataclass(frozen=True)
class NamedDetector:
    """A detector with a short name.

    Attributes:
        load: from what follows ``<name>:`` (empty where nothing does) and a device.
        takes: what may follow the name; empty: nothing.
        needs: whether something must.

    """

    load: Callable[[str, Device], Detector]
    takes: str = ""
    needs: bool = False

    def written(self, name: str) -> tuple[str, ...]:
        """The ways of writing it."""
        alone = () if self.needs else (name,)
        return (*alone, f"{name}:{self.takes}") if self.takes else alone


def _preset_clip(name: str) -> Callable[[str, Device], Detector]:
    return lambda copy, device: load_clip(copy or PRESETS[name], device, name)


DETECTORS: dict[str, NamedDetector] = {
    "digits": NamedDetector(lambda _, device: load_digits_detector(device)),
    "pixels": NamedDetector(lambda _, device: load_pixels(device)),
    "inception": NamedDetector(
        lambda _, device: load_scripted_detector(INCEPTION_URL, device, "inception")
    ),
    "inception-fidelity": NamedDetector(load_inception_fidelity, takes="<path of its weights>"),
    "dinov2": NamedDetector(load_dinov2, takes=FOLDER),
    "clip": NamedDetector(load_clip, takes=FOLDER, needs=True),
    **{name: NamedDetector(_preset_clip(name), takes="<folder of a copy>") for name in PRESETS},
}
"""Every detector that has a name of its own."""


def load_detector(spec: str, device: Device = "cpu") -> Detector:
    """Load the detector that ``spec`` names.

    Args:
        spec: a name of :data:`DETECTORS`, where it takes more as ``<name>:<more>``; or a local path
            or https URL of a TorchScript file that maps uint8 ``(B, 3, H, W)`` to ``(B, D)``. A URL
            is downloaded once to :func:`~deme.metrics.download.detector_cache`.
        device: where to compute.

    Raises:
        ConfigError: ``spec`` names nothing.
        MissingExtraError: the detector needs a package that is not installed.
        StorageError: the file cannot be read or downloaded.
        ModelError: the file is not TorchScript, is truncated, or returns something else than
            features ``(B, D)``.

    """
    name, colon, more = spec.partition(":")
    named = DETECTORS.get(name)
    if named is None:
        if "://" in spec or Path(spec).expanduser().exists():
            return load_scripted_detector(spec, device)
        choices = [form for key, entry in DETECTORS.items() for form in entry.written(key)]
        raise ConfigError(
            f"There is no detector {spec!r}", choices=[*choices, *TORCHSCRIPT], given=spec
        )
    if (colon and not named.takes) or (named.needs and not more):
        raise ConfigError(
            f"{spec!r} is no way to write the detector {name!r}", choices=named.written(name)
        )
    return named.load(more, device)
