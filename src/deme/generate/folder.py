"""Images by index on disk: shards that are complete or absent, drawn by many processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..errors import StorageError
from ..files import atomic_path
from .images import ImageRequest, generate_images


class ImageFolder:
    """Shards ``shard-00000.npy`` of uint8 images ``(n, C, H, W)``, in order of their index.

    A shard's place decides its images, so any process may make any shard and a repeated call
    makes only those that are missing.

    Args:
        path: the folder.
        count: images in all.
        shard_size: images in a shard.

    """

    def __init__(self, path: Path, count: int, shard_size: int = 1024) -> None:
        self.path = path
        self.count = count
        self.shard_size = shard_size

    def shards(self) -> Sequence[range]:
        """The image indices of each shard."""
        starts = range(0, self.count, self.shard_size)
        return [range(start, min(start + self.shard_size, self.count)) for start in starts]

    def shard_path(self, number: int) -> Path:
        """The file of a shard."""
        return self.path / f"shard-{number:05d}.npy"

    def missing(self) -> list[int]:
        """Numbers of the shards that are not there yet."""
        return [n for n in range(len(self.shards())) if not self.shard_path(n).is_file()]

    def generate(
        self,
        denoiser: Denoiser,
        request: ImageRequest,
        *,
        rank: int = 0,
        world: int = 1,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        """Makes this process's missing shards: those whose number is ``rank`` modulo ``world``."""
        for number in self.missing():
            if number % world != rank:
                continue
            images = generate_images(
                denoiser, request, self.shards()[number], on_progress=on_progress
            )
            with atomic_path(self.shard_path(number)) as partial, partial.open("wb") as file:
                np.save(file, images.numpy())

    def images(self) -> Tensor:
        """All images, uint8 ``(count, C, H, W)``.

        Raises:
            StorageError: a shard is missing or truncated.

        """
        parts = []
        for number, indices in enumerate(self.shards()):
            path = self.shard_path(number)
            try:
                part = np.load(path, allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                raise StorageError(
                    f"The image shard {path} is missing or truncated",
                    fix="delete it and repeat the command",
                ) from error
            if len(part) != len(indices):
                raise StorageError(
                    f"The image shard {path} holds {len(part)} images, not {len(indices)}",
                    fix="delete it and repeat the command",
                )
            parts.append(torch.from_numpy(part))
        return torch.cat(parts)

    def save_png(self, folder: Path) -> list[Path]:
        """Writes each image as a PNG named by its index (lossless: JPEG would change FID)."""
        from PIL import Image

        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for index, image in enumerate(self.images()):
            pixels = image.permute(1, 2, 0).numpy()
            picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
            paths.append(folder / f"{index:06d}.png")
            picture.save(paths[-1])
        return paths
