"""A detector turns images into features; every metric is a statistic of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol as Interface
from typing import cast

import torch
from torch import Tensor, nn

from ..errors import ConfigError, DataError, ModelError
from .float32 import full_float32
from .protocol import Protocol

FEATURES = "features"
SPATIAL = "spatial"
PROBABILITIES = "probabilities"
WHO_HAS = {
    FEATURES: ("every detector",),
    SPATIAL: ("inception-fidelity",),
    PROBABILITIES: ("digits", "inception", "inception-fidelity"),
}
"""The tables there are, and the detectors that make them."""


class TableNetwork(Interface):
    """A network that makes more tables than features, in one pass over the images."""

    def tables(self, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """The tables of these names, ``(B, width)`` each, of uint8 images ``(B, C, H, W)``."""
        ...


class Detector:
    """A feature network with its identity: uint8 images in, float32 tables out.

    Every detector makes ``features`` ``(N, D)``. Some make more: ``spatial`` features that keep
    where things are (for sFID), and class ``probabilities`` (for the Inception score).

    Args:
        network: maps uint8 images to features; a :class:`TableNetwork` where ``others`` is given.
        name: what people call it, for tables.
        digest: SHA-256 of its weights.
        dimensions: D, the number of features of one image.
        device: where to compute.
        others: width of each further table by name.
        preparation: what it does to images before its network (resize, filter, normalisation) where
            its digest does not say so already.

    Attributes:
        name: what people call it, for tables.
        digest: SHA-256 of its weights; this is what identifies it.
        dimensions: D, the number of features of one image.
        preparation: what it does to images before its network; empty: its digest decides that.
        widths: number of columns of every table that it makes, by name.

    """

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str,
        digest: str,
        dimensions: int,
        device: str | torch.device = "cpu",
        others: Mapping[str, int] | None = None,
        preparation: str = "",
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.name = name
        self.digest = digest
        self.dimensions = dimensions
        self.preparation = preparation
        self.widths = {FEATURES: dimensions, **(others or {})}

    def __call__(self, images: Tensor) -> Tensor:
        """Float32 features ``(B, D)`` on the CPU of uint8 images ``(B, C, H, W)``, C in {1, 3}.

        Always computed in float32, without TF32 or autocast.

        Raises:
            DataError: the images have another type, shape or size than the network reads.
            ModelError: what the network returns is not ``(B, D)``.

        """
        return self._of_batch(images, (FEATURES,))[FEATURES]

    def features(self, images: Tensor, batch_size: int = 64) -> Tensor:
        """Float32 features ``(N, D)`` on the CPU of uint8 images ``(N, C, H, W)``.

        The images are read in fixed chunks of ``batch_size``, a matter of memory alone: another
        size must not change a feature by more than float32 rounding.

        Raises:
            DataError, ModelError: as for a call.

        """
        return self.tables(images, (FEATURES,), batch_size)[FEATURES]

    def tables(
        self, images: Tensor, names: Sequence[str], batch_size: int = 64
    ) -> dict[str, Tensor]:
        """Several tables of one set of images, from one pass over them.

        Args:
            images: uint8 ``(N, C, H, W)``, C in {1, 3}.
            names: of ``features``, ``spatial`` and ``probabilities``, those wanted.
            batch_size: as for :meth:`features`.

        Returns:
            float32 ``(N, widths[name])`` on the CPU by name; a row of ``probabilities`` sums to 1.

        Raises:
            ConfigError: a table that this detector does not make; names those that do.
            DataError, ModelError: as for a call.

        """
        _require_images(images)
        if batch_size < 1:
            raise ConfigError(f"batch_size is {batch_size}", fix="give at least 1")
        self._require_tables(names)
        names = list(dict.fromkeys(names))
        chunks = [self._of_batch(chunk, names) for chunk in images.split(batch_size)]
        return {name: torch.cat([chunk[name] for chunk in chunks]) for name in names}

    def protocol(self, resize: str = "none") -> Protocol:
        """Describe features made by this detector from images resized so."""
        if self.preparation:
            resize = f"{resize}, then {self.preparation}"
        return Protocol(detector=self.name, detector_digest=self.digest, resize=resize)

    def _require_tables(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in WHO_HAS:
                raise ConfigError(f"There is no table {name!r}", choices=WHO_HAS, given=name)
            if name not in self.widths:
                raise ConfigError(
                    f"The detector {self.name!r} makes no {name}, only {', '.join(self.widths)}",
                    fix=f"use a detector that makes them: {', '.join(WHO_HAS[name])}",
                )

    def _of_batch(self, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        _require_images(images)
        if len(images) == 0:
            return {name: torch.zeros(0, self.widths[name]) for name in names}
        tables = run_network(self.network, images.to(self.device), names, self.name)
        for name, table in tables.items():
            if table.shape[1] != self.widths[name]:
                raise ModelError(
                    f"The detector {self.name!r} returned {table.shape[1]} {name} for images of "
                    f"shape {tuple(images.shape[1:])} and has {self.widths[name]} dimensions"
                )
        # A copy made here, outside inference mode, is an ordinary tensor.
        return {name: table.float().cpu().clone() for name, table in tables.items()}


def run_network(
    network: nn.Module, images: Tensor, names: Sequence[str], detector: str
) -> dict[str, Tensor]:
    """Tables ``(B, width)`` of ``images``, where they are, in full float32.

    Raises:
        DataError: the network cannot read images of this shape.
        ModelError: what it returns is not one row for each image.

    """
    try:
        with torch.inference_mode(), full_float32(images.device):
            if tuple(names) == (FEATURES,):
                tables = {FEATURES: network(images)}
            else:
                tables = cast(TableNetwork, network).tables(images, names)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, torch.jit.Error) as error:
        reason = str(error).strip().splitlines()[-1]
        raise DataError(
            f"The detector {detector!r} cannot read images of shape {tuple(images.shape)} "
            f"({reason})",
            fix="give images of the size the detector was made for, or another detector",
        ) from error
    for table in tables.values():
        _require_rows(table, len(images), detector)
    return tables


def _require_rows(table: object, count: int, detector: str) -> None:
    if isinstance(table, Tensor) and table.ndim == 2 and len(table) == count:
        return
    shape = tuple(table.shape) if isinstance(table, Tensor) else type(table).__name__
    raise ModelError(
        f"The detector {detector!r} returned {shape} for {count} images, not (B, D)",
        fix="give a TorchScript file that returns one row of features for each image",
    )


def _require_images(images: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise DataError(
            f"A detector reads uint8 images (B, C, H, W) with 1 or 3 channels, not "
            f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}",
            fix="quantise to 0..255, and drop or composite an alpha channel",
        )
