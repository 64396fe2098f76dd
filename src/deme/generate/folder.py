"""Images by index on disk: shards that are complete or absent, drawn by many processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..denoisers import Denoiser
from ..errors import ConfigError, StorageError
from ..files import atomic_path
from .images import ImageRequest, generate_images


class ImageFolder:
    """Shards ``shard-00000.npy`` of uint8 images ``(n, C, H, W)``, in order of their index.

    A shard's place decides its images, so any process may make any shard and a repeated call
    makes only those that are missing. The folder does not know of what model and request they
    are: each needs a folder of its own.

    Args:
        path: the folder.
        count: images in all, at least 1.
        shard_size: images in a shard, at least 1.

    Raises:
        ConfigError: no images, or no images in a shard.

    """

    def __init__(self, path: Path, count: int, shard_size: int = 1024) -> None:
        if count < 1 or shard_size < 1:
            raise ConfigError(
                f"{count} images in shards of {shard_size} are no image folder",
                fix="give at least 1 of both",
            )
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
        """Makes this process's missing shards: those whose number is ``rank`` modulo ``world``.

        ``on_progress`` is called with the number of images just finished, or found finished.
        """
        for number, indices in enumerate(self.shards()):
            if number % world != rank:
                continue
            if self.shard_path(number).is_file():
                if on_progress is not None:
                    on_progress(len(indices))
                continue
            images = generate_images(denoiser, request, indices, on_progress=on_progress)
            with atomic_path(self.shard_path(number)) as partial, partial.open("wb") as file:
                np.save(file, images.numpy())

    def images(self) -> Tensor:
        """All images, uint8 ``(count, C, H, W)``.

        Raises:
            StorageError: a shard is missing or truncated.

        """
        return torch.cat([self._read(number) for number in range(len(self.shards()))])

    def save_png(self, folder: Path) -> list[Path]:
        """Writes each image as a PNG named by its index (lossless: JPEG would change FID).

        Raises:
            StorageError: a shard is missing or truncated, or ``folder`` cannot be written.

        """
        from PIL import Image

        paths = []
        for number, indices in enumerate(self.shards()):
            for index, image in zip(indices, self._read(number), strict=True):
                pixels = image.permute(1, 2, 0).numpy()
                picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
                paths.append(folder / f"{index:06d}.png")
                with atomic_path(paths[-1]) as partial:
                    picture.save(partial, format="PNG")
        return paths

    def _read(self, number: int) -> Tensor:
        """One shard's images, uint8 ``(n, C, H, W)``."""
        path = self.shard_path(number)
        expected = len(self.shards()[number])
        try:
            images = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise StorageError(
                f"The image shard {path} is missing or truncated",
                fix="delete it and repeat the command",
            ) from error
        if len(images) != expected:
            raise StorageError(
                f"The image shard {path} holds {len(images)} images, not {expected}",
                fix="delete it and repeat the command",
            )
        return torch.from_numpy(images)
