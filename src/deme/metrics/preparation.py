"""What vision transformers do to pixels first: Pillow's resize on tensors and on any device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ..errors import ModelError
from ..files import read_json

SETTINGS_FILE = "preprocessor_config.json"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_DEVIATION = (0.26862954, 0.26130258, 0.27577711)
INTERPOLATIONS = {2: "bilinear", 3: "bicubic"}
"""Pillow's numbers for the resizes that PyTorch has too."""


@dataclass(frozen=True)
class ImagePreparation:
    """Resize, centre crop, scale and normalise, as the model's own image processor does.

    The resize is Pillow's, along rows and then along columns, in float32 and with levels rounded
    after each: a pixel differs from Pillow's by one level of 255 at most. (Pillow 13 begins with
    the columns of images that are higher than wide, which moves a few levels of theirs.)

    Attributes:
        size: height and width after the resize, or the length of the shorter edge alone.
        crop: height and width of the centre that is kept; None: no crop.
        mean: of each channel, of values in ``[0, 1]``.
        deviation: of each channel.
        interpolation: ``bicubic`` or ``bilinear``, antialiased.

    """

    size: tuple[int, int] | int
    crop: tuple[int, int] | None
    mean: tuple[float, ...] = CLIP_MEAN
    deviation: tuple[float, ...] = CLIP_DEVIATION
    interpolation: str = "bicubic"

    @classmethod
    def of_folder(cls, folder: Path, side: int) -> ImagePreparation:
        """As ``preprocessor_config.json`` says; CLIP's own where there is none.

        Args:
            folder: the model's.
            side: height and width of the images that the vision tower reads.

        Raises:
            ModelError: a setting that is not known here.
            StorageError: the file cannot be read.

        """
        path = folder / SETTINGS_FILE
        given: Any = read_json(path) if path.is_file() else {}
        try:
            return cls._of_settings(given, side)
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            raise ModelError(
                f"{path} has settings that are not CLIP's ({type(error).__name__}: {error})",
                fix="remove the file to use CLIP's own, or give a CLIP model",
            ) from error

    @classmethod
    def _of_settings(cls, given: Mapping[str, Any], side: int) -> ImagePreparation:
        for name in ("do_resize", "do_rescale", "do_normalize"):
            if given.get(name, True) is not True:
                raise ValueError(f"{name} is {given[name]!r}")
        size = given.get("size", side)
        if isinstance(size, Mapping):
            size = int(size["shortest_edge"]) if "shortest_edge" in size else _pair(size)
        crop = _pair(given.get("crop_size", side)) if given.get("do_center_crop", True) else None
        return cls(
            size=size,
            crop=crop,
            mean=tuple(map(float, given.get("image_mean", CLIP_MEAN))),
            deviation=tuple(map(float, given.get("image_std", CLIP_DEVIATION))),
            interpolation=INTERPOLATIONS[given.get("resample", 3)],
        )

    def describe(self) -> str:
        """In words, for a protocol."""
        size = f"shorter side {self.size}" if isinstance(self.size, int) else _times(self.size)
        crop = "" if self.crop is None else f", centre {_times(self.crop)}"
        return (
            f"{self.interpolation} to {size} as Pillow{crop}, "
            f"mean {_short(self.mean)}, deviation {_short(self.deviation)}"
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Float32 ``(B, 3, *crop)`` of uint8 images ``(B, C, H, W)``; one channel is repeated."""
        height, width = images.shape[-2:]
        new_height, new_width = self._resized(height, width)
        pixels = self._stretched(images.float(), (height, new_width))
        pixels = self._stretched(pixels, (new_height, new_width)).expand(-1, 3, -1, -1)
        pixels = _centre(pixels, self.crop)
        mean = torch.tensor(self.mean, device=images.device)[:, None, None]
        deviation = torch.tensor(self.deviation, device=images.device)[:, None, None]
        return (pixels / 255 - mean) / deviation

    def _stretched(self, pixels: Tensor, size: tuple[int, int]) -> Tensor:
        """One pass of the resize, in whole levels of ``[0, 255]`` as Pillow keeps them between."""
        mode = self.interpolation
        stretched = functional.interpolate(pixels, size, mode=mode, antialias=True)
        return (stretched.clamp(0, 255) + 0.5).floor()  # a half goes up there, not to the even

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.size, int):
            return self.size
        longer = int(self.size * max(height, width) / min(height, width))
        return (self.size, longer) if height <= width else (longer, self.size)


def _times(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _short(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.4g}" for value in values)


def _pair(size: Mapping[str, Any] | int) -> tuple[int, int]:
    if isinstance(size, Mapping):
        return int(size["height"]), int(size["width"])
    return int(size), int(size)


def _centre(pixels: Tensor, crop: tuple[int, int] | None) -> Tensor:
    """The centre of this height and width, black beyond the images' edges."""
    if crop is None:
        return pixels
    missing = [max(0, wanted - have) for wanted, have in zip(crop, pixels.shape[-2:], strict=True)]
    top, left = (missing[0] + 1) // 2, (missing[1] + 1) // 2
    pixels = functional.pad(pixels, (left, missing[1] - left, top, missing[0] - top))
    height, width = pixels.shape[-2:]
    top, left = (height - crop[0]) // 2, (width - crop[1]) // 2
    return pixels[..., top : top + crop[0], left : left + crop[1]]
