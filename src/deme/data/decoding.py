"""From any kind of picture to an 8-bit grey or RGB one.

Conversions, all before resizing, so that nothing bleeds into an edge:

- transparency (RGBA, LA, a palette's or a PNG's transparent colour) is composited on a grey level;
- 16-bit grey is ``round(v / 257)``, which maps 0 to 0 and 65535 to 255; so are Pillow's 32-bit
  integers (mode ``I``), which is how 16-bit files used to open;
- floats are taken as ``[0, 1]`` where all lie there, else as ``[0, 255]``;
- RGB becomes grey by ITU-R 601 luma, grey becomes RGB by repetition, CMYK and YCbCr by Pillow.

A picture that is already what is wanted is untouched, bit for bit. 16-bit *colour* PNGs are cut
to 8 bits by Pillow itself when it opens them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError

if TYPE_CHECKING:
    from PIL.Image import Image

MODES = {1: "L", 3: "RGB"}
_ARRAY_CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}


def to_mode(image: Image, channels: int, background: int) -> Image:
    """Convert a Pillow image of any mode to ``L`` (1 channel) or ``RGB`` (3 channels).

    Args:
        image: any mode.
        channels: 1 or 3.
        background: grey level 0..255 behind transparent pixels.

    Raises:
        ValueError: the image's values have no meaning as a picture, or Pillow has no conversion.

    """
    from PIL import Image as pillow

    mode = MODES[channels]
    if image.mode == "I":
        image = pillow.fromarray(_from_sixteen_bits(np.asarray(image)))
    elif image.mode == "F" or image.mode.startswith("I;16"):
        image = pillow.fromarray(eight_bits(np.asarray(image)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = pillow.new("RGB", rgba.size, (background,) * 3)
        image.paste(rgba, mask=rgba.getchannel("A"))
    if image.mode == "LAB":  # Pillow knows no way from LAB straight to grey
        image = image.convert("RGB")
    return image if image.mode == mode else image.convert(mode)


def eight_bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Brings an array of any shape and real dtype to uint8.

    ``uint16`` is divided by 257 and rounded; booleans become 0 and 255; other integers must lie
    in ``[0, 255]``; floats in ``[0, 1]`` or ``[0, 255]``.

    Raises:
        ValueError: values outside those ranges, or not numbers.

    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:
        return _from_sixteen_bits(array)
    if array.dtype.kind not in "uif":
        raise ValueError(f"pixels of type {array.dtype} are not numbers")
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 255):  # written so that NaN fails it
        raise ValueError(f"pixel values from {low:g} to {high:g} lie outside 0..255")
    scale = 255 if array.dtype.kind == "f" and high <= 1 else 1
    return np.rint(array * scale).astype(np.uint8)


def _from_sixteen_bits(array: np.ndarray[Any, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    low, high = int(array.min()), int(array.max())
    if low < 0 or high > 65535:
        raise ValueError(f"pixel values from {low} to {high} lie outside 0..65535")
    # 65535 = 255 · 257, and adding half of 257 before the division rounds to nearest.
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def from_array(array: np.ndarray[Any, Any]) -> Image:
    """Make a Pillow image from numbers: ``(H, W)``, ``(H, W, C)`` or ``(C, H, W)``, C in 1..4.

    Where both ends could be channels, the last one is.

    Raises:
        DataError: no axis can be channels.
        ValueError: the values have no meaning as a picture (see :func:`eight_bits`).

    """
    from PIL import Image as pillow

    if array.size == 0:
        raise ValueError(f"an array of shape {array.shape} holds no pixels")
    if array.ndim == 3 and array.shape[-1] not in _ARRAY_CHANNELS:
        if array.shape[0] not in _ARRAY_CHANNELS:
            raise _wrong_channels(array.shape)
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3):
        raise _wrong_channels(array.shape)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    return pillow.fromarray(np.ascontiguousarray(eight_bits(array)))


def _wrong_channels(shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"Images of shape {shape} cannot be read: no axis of theirs can be the channels",
        choices=[f"{count} ({name})" for count, name in _ARRAY_CHANNELS.items()],
        fix="store images as (H, W) or (H, W, C), or choose another data.image_column",
    )
