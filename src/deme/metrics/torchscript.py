"""Feature networks in the TorchScript convention of the StyleGAN and EDM papers.

A scripted module that maps uint8 images ``(B, 3, H, W)`` to features ``(B, D)`` and does every
resize and scale by itself, so that the numbers do not depend on who calls it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from ..errors import DataError, ModelError, StorageError
from ..files import hash_file
from .detector import FEATURES, PROBABILITIES, Detector, run_network
from .download import fetch_once

INCEPTION_URL = (
    "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
    "inception-2015-12-05.pt"
)
"""The Inception that the StyleGAN and EDM papers compute FID with."""
FEATURES_ARGUMENT = "return_features"
UNBIASED_ARGUMENT = "no_output_bias"
PROBE_SIDES = (32, 64, 224, 299)
"""Image sizes that a detector of unknown input size is tried with, to learn its dimensions."""


class ScriptedNetwork(nn.Module):
    """A scripted module, called for its features.

    NVIDIA's Inception returns class probabilities unless ``forward`` is told
    ``return_features=True``; the argument is passed where the script's schema has it. For the
    Inception score the classifier's bias is left out (``no_output_bias=True``), as its paper's code
    does; a script that has both arguments is taken to give probabilities.
    """

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script
        forward: Any = script.forward
        names = {argument.name for argument in forward.schema.arguments}
        self.options = {FEATURES_ARGUMENT: True} if FEATURES_ARGUMENT in names else {}
        self.gives_probabilities = {FEATURES_ARGUMENT, UNBIASED_ARGUMENT} <= names

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, D)`` of uint8 images ``(B, C, H, W)``; one channel is repeated to 3."""
        return self.script(_three_channels(images), **self.options)

    def tables(self, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """``features`` and ``probabilities`` ``(B, K)``: the script runs once for each."""
        found = {}
        if FEATURES in names:
            found[FEATURES] = self(images)
        if PROBABILITIES in names:
            found[PROBABILITIES] = self.script(_three_channels(images), **{UNBIASED_ARGUMENT: True})
        return found


def load_scripted_detector(
    source: str, device: str | torch.device = "cpu", name: str | None = None
) -> Detector:
    """Load a detector from a TorchScript file.

    Args:
        source: local path or https URL. A URL is downloaded once to
            :func:`~deme.metrics.download.detector_cache`.
        device: where to compute.
        name: what to call it; None: the file's name.

    Raises:
        ConfigError: the address is not https.
        StorageError: the file cannot be read or downloaded.
        ModelError: the file is not TorchScript, is truncated, or returns something else than
            features ``(B, D)``.

    """
    device = torch.device(device)
    remote = "://" in source
    path = fetch_once(source) if remote else Path(source).expanduser()
    name = name or Path(urlparse(source).path if remote else source).stem
    network = load_scripted_network(path, device)
    names = (FEATURES, PROBABILITIES) if network.gives_probabilities else (FEATURES,)
    widths = _probe(network, names, device, name)
    return Detector(
        network,
        name=name,
        digest=hash_file(path),
        dimensions=widths.pop(FEATURES),
        device=device,
        others=widths,
    )


def load_scripted_network(path: Path, device: torch.device) -> ScriptedNetwork:
    """Load a TorchScript file. It can run no Python, unlike a pickled module.

    Raises:
        StorageError: the file is missing.
        ModelError: it is not TorchScript, or it is truncated.

    """
    if not path.is_file():
        raise StorageError(f"There is no detector file {path}", fix="check the path")
    try:
        with warnings.catch_warnings():
            # The convention's files exist in this format alone: its deprecation is no user's news.
            warnings.filterwarnings("ignore", message=r"`torch\.jit\.load`")
            script = torch.jit.load(path, map_location=device)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path} is not a TorchScript file, or is truncated ({_first_line(error)})",
            fix="give a file written by torch.jit.save, complete (compare its size and hash)",
        ) from error
    return ScriptedNetwork(script).eval()


def _probe(
    network: nn.Module, names: Sequence[str], device: torch.device, detector: str
) -> dict[str, int]:
    """The tables' widths, from black images of the first size that the network reads."""
    refusal: DataError | None = None
    for side in PROBE_SIDES:
        black = torch.zeros(2, 3, side, side, dtype=torch.uint8, device=device)
        try:
            tables = run_network(network, black, names, detector)
        except DataError as error:
            refusal = refusal or error
        else:
            return {name: table.shape[1] for name, table in tables.items()}
    raise ModelError(
        f"The detector {detector!r} reads no uint8 images of shape (B, 3, H, W): {refusal}",
        fix="script a module that takes them as they are and does its own resize and scaling",
    )


def _three_channels(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
