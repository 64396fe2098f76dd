"""LPIPS: how different two images look.

Of random pairs of one model's images it is a measure of diversity
(:func:`perceptual_diversity`); of two models' images from the same noise, a measure of what changed
(``distance(before, after)``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ConfigError, DataError, StorageError
from ..files import hash_bytes, hash_file
from ..randomness import generator
from .fidelity import hub_weights, import_fidelity, require_plain_tensors
from .float32 import full_float32

LPIPS_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-vgg16-lpips.pth"
)
VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
VGG16_HASH = "397923af"
PAIRS = 10_000


class PerceptualDistance:
    """A distance between images, with its identity.

    Attributes:
        name: what people call it.
        digest: of its weights.

    Args:
        network: maps two batches of uint8 images ``(B, 3, H, W)`` to distances ``(B,)`` or
            ``(B, 1)``.
        name: what people call it.
        digest: of its weights.
        device: where to compute.

    """

    def __init__(
        self, network: nn.Module, *, name: str, digest: str, device: str | torch.device = "cpu"
    ) -> None:
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.name = name
        self.digest = digest

    def __call__(self, first: Tensor, second: Tensor, batch_size: int = 32) -> Tensor:
        """Float32 distances ``(N,)`` on the CPU of uint8 images ``(N, C, H, W)``, C in {1, 3}.

        Image by image, 0 where both are the same. In float32, without TF32 or autocast;
        ``batch_size`` is a matter of memory alone.

        Raises:
            DataError: other types, shapes that differ, or images too small for the network.

        """
        if first.shape != second.shape or first.ndim != 4 or first.shape[1] not in (1, 3):
            raise DataError(
                "A perceptual distance needs two sets of images of one shape (N, C, H, W) with 1 "
                f"or 3 channels, not {tuple(first.shape)} and {tuple(second.shape)}",
                fix="draw both from the same seeds at the same size",
            )
        if first.dtype != torch.uint8 or second.dtype != torch.uint8:
            raise DataError("A perceptual distance reads uint8 images", fix="quantise to 0..255")
        chunks = zip(first.split(batch_size), second.split(batch_size), strict=True)
        found = [self._of_batch(one, other) for one, other in chunks if len(one)]
        return torch.cat(found) if found else torch.zeros(0)

    def _of_batch(self, first: Tensor, second: Tensor) -> Tensor:
        one, other = (images.to(self.device).expand(-1, 3, -1, -1) for images in (first, second))
        try:
            with torch.inference_mode(), full_float32(self.device):
                distances = self.network(one, other)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise DataError(
                f"{self.name!r} cannot read images of shape {tuple(first.shape)} ({error})",
                fix="LPIPS on VGG16 needs images of at least 16×16 pixels",
            ) from error
        return distances.float().cpu().reshape(len(first)).clone()


def load_lpips(hub: str = "", device: str | torch.device = "cpu") -> PerceptualDistance:
    """Load LPIPS on VGG16, version 0.1 (Zhang et al., arXiv:1801.03924), as torch-fidelity has it.

    Args:
        hub: a folder like PyTorch's hub cache, with ``checkpoints/weights-vgg16-lpips.pth`` and
            ``checkpoints/vgg16-397923af.pth``; empty: that cache itself, filled once.
        device: where to compute.

    Raises:
        MissingExtraError: torch-fidelity or torchvision is not installed.
        StorageError: the weights cannot be read or downloaded.
        ModelError: a weights file holds more than tensors.

    """
    library = import_fidelity("LPIPS")
    with _hub(hub):
        paths = (hub_weights(LPIPS_URL), hub_weights(VGG16_URL, VGG16_HASH))
        for path in paths:
            require_plain_tensors(path)
        with torch.random.fork_rng(devices=[]):  # its layers are drawn before they are read
            network = library.SampleSimilarityLPIPS("lpips-vgg16", sample_similarity_dtype="uint8")
    digest = hash_bytes(*(hash_file(path).encode() for path in paths))
    return PerceptualDistance(network, name="lpips-vgg16", digest=digest, device=device)


def random_pairs(count: int, pairs: int, seed: int = 0) -> Tensor:
    """Indices ``(P, 2)`` of pairs of different images out of ``count``.

    Where there are no more than ``pairs`` of them, each once; else ``pairs`` drawn evenly and
    independently of each other, so that a mean over them is unbiased.

    Raises:
        ConfigError: ``pairs`` is below 1.
        DataError: fewer than two images.

    """
    if pairs < 1:
        raise ConfigError(f"{pairs} pairs were asked for", fix="give at least 1")
    if count < 2:
        raise DataError(f"There are no pairs among {count} images", fix="use at least 2")
    if count * (count - 1) // 2 <= pairs:
        return torch.combinations(torch.arange(count))
    draw = generator(seed, "perceptual pairs")
    first = torch.randint(count, (pairs,), generator=draw)
    step = torch.randint(1, count, (pairs,), generator=draw)
    return torch.stack([first, (first + step) % count], dim=1)


def perceptual_diversity(
    images: Tensor, distance: PerceptualDistance, *, pairs: int = PAIRS, seed: int = 0
) -> Tensor:
    """Distances ``(P,)`` of random pairs of generated images; their mean is the diversity.

    Args:
        images: uint8 ``(N, C, H, W)``.
        distance: of two images.
        pairs: how many, at most; see :func:`random_pairs`.
        seed: of the drawing; the same pairs for every model with as many images.

    Raises:
        ConfigError, DataError: as for :func:`random_pairs` and a call of ``distance``.

    """
    chosen = random_pairs(len(images), pairs, seed)
    parts = [distance(images[part[:, 0]], images[part[:, 1]]) for part in chosen.split(1024)]
    return torch.cat(parts)


@contextlib.contextmanager
def _hub(folder: str) -> Iterator[None]:
    """Inside, PyTorch's hub cache is this folder, which must be there."""
    if not folder:
        yield
        return
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise StorageError(f"There is no folder {path}", fix="give a folder with checkpoints/")
    before = torch.hub.get_dir()
    torch.hub.set_dir(str(path))
    try:
        yield
    finally:
        torch.hub.set_dir(before)
