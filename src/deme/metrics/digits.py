"""The bundled feature network: a small classifier of scikit-learn's handwritten digits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from ..errors import DataError, ModelError, StorageError
from ..files import hash_file
from .detector import FEATURES, PROBABILITIES, Detector

DIGITS_WEIGHTS = Path(__file__).parents[1] / "assets" / "digits_detector.safetensors"
"""Where the package carries the trained weights."""

SIDE = 8
DIMENSIONS = 32
CLASSES = 10


class DigitsNetwork(nn.Module):
    """Three convolutions and a layer of 32 features, trained to tell ten digits apart.

    ``forward`` maps uint8 images ``(B, 3, 8, 8)`` in ``[0, 255]`` (or one channel) to float32
    features ``(B, 32)``; ``classify`` maps features to class scores ``(B, 10)``, for training and
    for the Inception score. About 28 of the 898 images of one protocol half fall on each feature,
    as 24 of 50 000 do on Inception's 2 048.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 64, 3, padding=1)
        self.features = nn.Linear(64 * (SIDE // 4) ** 2, DIMENSIONS)
        self.classes = nn.Linear(DIMENSIONS, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, 32)`` of images ``(B, C, 8, 8)`` in ``[0, 255]``.

        Raises:
            DataError: the images are not 8×8.

        """
        if tuple(images.shape[-2:]) != (SIDE, SIDE):
            raise DataError(
                f"The 'digits' detector reads 8×8 images and was given {tuple(images.shape)}",
                fix="name a detector made for these images (a TorchScript file or URL)",
            )
        x = images.float().mean(dim=1, keepdim=True) / 127.5 - 1
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = functional.relu(self.conv2(x))
        x = functional.max_pool2d(functional.relu(self.conv3(x)), 2)
        return functional.silu(self.features(x.flatten(1)))

    def classify(self, features: Tensor) -> Tensor:
        """Class scores ``(B, 10)`` of features ``(B, 32)``."""
        return self.classes(features)

    def tables(self, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """``features`` ``(B, 32)`` and the ``probabilities`` ``(B, 10)`` of the ten digits."""
        features = self(images)
        found = {FEATURES: features}
        if PROBABILITIES in names:
            found[PROBABILITIES] = self.classify(features).softmax(dim=1)
        return {name: found[name] for name in names}


def load_digits_detector(device: str | torch.device = "cpu") -> Detector:
    """Give the detector ``digits``.

    Raises:
        StorageError, ModelError: as for :func:`load_digits_network`.

    """
    return Detector(
        load_digits_network(),
        name="digits",
        digest=hash_file(DIGITS_WEIGHTS),
        dimensions=DIMENSIONS,
        device=device,
        others={PROBABILITIES: CLASSES},
    )


def load_digits_network(path: Path = DIGITS_WEIGHTS) -> DigitsNetwork:
    """Load the network with the weights of a safetensors file.

    Raises:
        StorageError: the file is missing, truncated or not safetensors.
        ModelError: it holds the weights of another network.

    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"Cannot read the bundled digits detector {path}: {error}", fix="install deme again"
        ) from error
    with torch.device("meta"):
        network = DigitsNetwork()
    try:
        network.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ModelError(f"{path} does not hold the digits detector: {error}") from error
    return network.float().requires_grad_(False).eval()
