"""A detector turns images into features; every metric is a statistic of them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from ..errors import ConfigError, DataError, ModelError
from ..files import hash_file
from .clip import CLIP_PREFIX, load_clip
from .digits import DIGITS_WEIGHTS, FEATURES, load_digits_network
from .download import fetch_once
from .float32 import full_float32
from .protocol import Protocol
from .torchscript import load_scripted_network

BUNDLED = "digits"
PUBLISHED = {
    "inception": "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt"
}
"""Detectors with a name of their own, and where they are published."""
PROBE_SIDES = (32, 64, 224, 299)
"""Image sizes that a detector of unknown input size is tried with, to learn its dimensions."""


class Detector:
    """A feature network with its identity: uint8 images in, float32 features out.

    Attributes:
        name: what people call it, for tables.
        digest: SHA-256 of its weights file; this is what identifies it.
        dimensions: D, the number of features of one image.

    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        digest: str,
        dimensions: int,
        device: str | torch.device = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.name = name
        self.digest = digest
        self.dimensions = dimensions

    def __call__(self, images: Tensor) -> Tensor:
        """Float32 features ``(B, D)`` on the CPU of uint8 images ``(B, C, H, W)``, C in {1, 3}.

        Always computed in float32, without TF32 or autocast.

        Raises:
            DataError: the images have another type, shape or size than the network reads.
            ModelError: what the network returns is not ``(B, D)``.

        """
        _require_images(images)
        if len(images) == 0:
            return torch.zeros(0, self.dimensions)
        features = _run(self.network, images.to(self.device), self.name)
        if features.shape[1] != self.dimensions:
            raise ModelError(
                f"The detector {self.name!r} returned {features.shape[1]} features for images of "
                f"shape {tuple(images.shape[1:])} and has {self.dimensions} dimensions"
            )
        # A copy made here, outside inference mode, is an ordinary tensor.
        return features.float().cpu().clone()

    def features(self, images: Tensor, batch_size: int = 64) -> Tensor:
        """Float32 features ``(N, D)`` on the CPU of uint8 images ``(N, C, H, W)``.

        The images are read in fixed chunks of ``batch_size``, a matter of memory alone: another
        size must not change a feature by more than float32 rounding.

        Raises:
            DataError, ModelError: as for a call.

        """
        _require_images(images)
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}", fix="give at least 1")
        chunks = [self(chunk) for chunk in images.split(batch_size)]
        return torch.cat(chunks) if chunks else torch.zeros(0, self.dimensions)

    def protocol(self, resize: str = "none") -> Protocol:
        """Describe features made by this detector from images resized so."""
        return Protocol(detector=self.name, detector_digest=self.digest, resize=resize)


def load_detector(spec: str, device: str | torch.device = "cpu") -> Detector:
    """Load the detector that ``spec`` names.

    Args:
        spec: ``"digits"`` for the bundled network, ``"inception"`` for the one that the StyleGAN
            and EDM papers compute FID with (fetched once), or a local path or https URL of a
            TorchScript file that maps uint8 ``(B, 3, H, W)`` to ``(B, D)``. A URL is downloaded
            once to :func:`~deme.metrics.download.detector_cache`. ``"clip:<folder or hub id>"`` is
            the vision tower of a CLIP model; see :func:`~deme.metrics.clip.load_clip`.
        device: where to compute.

    Raises:
        ConfigError: ``spec`` names nothing.
        StorageError: the file cannot be read or downloaded.
        ModelError: the file is not TorchScript, is truncated, or returns something else than
            features ``(B, D)``.

    """
    device = torch.device(device)
    if spec == BUNDLED:
        return Detector(
            load_digits_network(),
            name=BUNDLED,
            digest=hash_file(DIGITS_WEIGHTS),
            dimensions=FEATURES,
            device=device,
        )
    if spec.startswith(CLIP_PREFIX):
        clip = load_clip(spec.removeprefix(CLIP_PREFIX))
        return Detector(
            clip.network,
            name=clip.name,
            digest=clip.digest,
            dimensions=clip.dimensions,
            device=device,
        )
    path, name = _locate(spec)
    network = load_scripted_network(path, device)
    return Detector(
        network,
        name=name,
        digest=hash_file(path),
        dimensions=_probe(network, device, name),
        device=device,
    )


def _locate(spec: str) -> tuple[Path, str]:
    spec = PUBLISHED.get(spec, spec)
    if "://" in spec:
        return fetch_once(spec), Path(urlparse(spec).path).stem
    path = Path(spec).expanduser()
    if not path.exists():
        raise ConfigError(
            f"There is no detector {spec!r}",
            choices=[
                *(BUNDLED, *PUBLISHED, "the path of a TorchScript file", "an https URL of one"),
                f"{CLIP_PREFIX}<folder or hub id>",
            ],
            given=spec,
        )
    return path, path.stem


def _probe(network: nn.Module, device: torch.device, name: str) -> int:
    """D, from black images of the first size that the network reads."""
    refusal: DataError | None = None
    for side in PROBE_SIDES:
        black = torch.zeros(2, 3, side, side, dtype=torch.uint8, device=device)
        try:
            return _run(network, black, name).shape[1]
        except DataError as error:
            refusal = refusal or error
    raise ModelError(
        f"The detector {name!r} reads no uint8 images of shape (B, 3, H, W): {refusal}",
        fix="script a module that takes them as they are and does its own resize and scaling",
    )


def _run(network: nn.Module, images: Tensor, name: str) -> Tensor:
    """Compute features ``(B, D)`` of ``images``, where they are, in full float32."""
    try:
        with torch.inference_mode(), full_float32(images.device):
            features = network(images)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, torch.jit.Error) as error:
        reason = str(error).strip().splitlines()[-1]
        raise DataError(
            f"The detector {name!r} cannot read images of shape {tuple(images.shape)} ({reason})",
            fix="give images of the size the detector was made for, or another detector",
        ) from error
    shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
    if not isinstance(features, Tensor) or features.ndim != 2 or len(features) != len(images):
        raise ModelError(
            f"The detector {name!r} returned {shape} for {len(images)} images, not (B, D)",
            fix="give a TorchScript file that returns one row of features for each image",
        )
    return features


def _require_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"A detector reads uint8 images (B, C, H, W) with 1 or 3 channels, not "
            f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}",
            fix="quantise to 0..255, and drop or composite an alpha channel",
        )
