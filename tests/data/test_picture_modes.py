"""Every kind of picture becomes the 8-bit grey or RGB that an independent formula gives."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deme.data import ImageSource
from deme.data.decoding import eight_bits, from_array, to_mode
from deme.errors import DataError

Array = np.ndarray[Any, Any]
Draw = Callable[..., Array]


def reopened(image: Image.Image, form: str, **options: Any) -> Image.Image:
    """What a file of that format gives back."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    opened = Image.open(io.BytesIO(buffer.getvalue()))
    opened.load()
    return opened


def luma(rgb: Array) -> Array:
    """ITU-R 601-2: L = 0.299 R + 0.587 G + 0.114 B."""
    return rgb @ np.array([0.299, 0.587, 0.114])


def composite(rgba: Array, background: int) -> Array:
    color, alpha = rgba[..., :3].astype(float), rgba[..., 3:].astype(float) / 255
    return color * alpha + background * (1 - alpha)


def test_a_picture_of_the_right_mode_is_the_same_object() -> None:
    for mode, channels in (("L", 1), ("RGB", 3)):
        image = Image.new(mode, (4, 4))
        assert to_mode(image, channels, 255) is image


def test_rgb_becomes_grey_by_luma_and_grey_becomes_three_equal_channels(noise: Draw) -> None:
    rgb, grey = noise(0), noise(1, channels=1)
    assert np.abs(np.asarray(to_mode(Image.fromarray(rgb), 1, 255)) - luma(rgb)).max() <= 1
    wide = np.asarray(to_mode(Image.fromarray(grey), 3, 255))
    assert (wide == grey[..., None]).all()


@pytest.mark.parametrize("background", [0, 93, 255])
def test_rgba_is_composited_on_the_background(noise: Draw, background: int) -> None:
    rgba = noise(0, channels=4)
    rgba[0, :, 3], rgba[1, :, 3] = 0, 255
    got = np.asarray(to_mode(Image.fromarray(rgba), 3, background))
    assert np.abs(got - composite(rgba, background)).max() <= 1
    assert (got[0] == background).all()
    assert (got[1] == rgba[1, :, :3]).all()


def test_grey_with_alpha_is_composited(noise: Draw) -> None:
    grey, alpha = noise(0, channels=1), noise(1, channels=1)
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    expected = composite(np.stack([grey, grey, grey, alpha], -1), 200)
    for channels in (1, 3):
        got = np.asarray(to_mode(reopened(image, "PNG"), channels, 200)).reshape(8, 8, -1)
        assert np.abs(got - expected[..., :channels]).max() <= 1


def test_a_palette_with_transparency_is_composited_and_one_without_is_looked_up() -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], dtype=np.uint8), mode=None).convert("P")
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2, 0])
    opaque = np.asarray(to_mode(reopened(image, "PNG"), 3, 255))
    assert opaque.tolist() == [[[10, 20, 30], [40, 50, 60]], [[70, 80, 90], [10, 20, 30]]]
    clear = reopened(image, "PNG", transparency=bytes([0, 255, 128]))
    assert clear.mode == "P"
    got = np.asarray(to_mode(clear, 3, 0))
    assert got[0, 0].tolist() == [0, 0, 0]
    assert got[0, 1].tolist() == [40, 50, 60]
    assert np.abs(got[1, 0] - np.array([70, 80, 90]) * 128 / 255).max() <= 1


def test_a_transparent_colour_of_an_rgb_png_is_background() -> None:
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    image = reopened(Image.fromarray(pixels), "PNG", transparency=(1, 2, 3))
    assert np.asarray(to_mode(image, 3, 77)).tolist() == [[[77, 77, 77], [4, 5, 6]]]


@pytest.mark.parametrize(("form", "dtype"), [("PNG", "<u2"), ("TIFF", "<u2"), ("TIFF", ">u2")])
def test_sixteen_bits_are_rounded_to_eight(form: str, dtype: str) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    image = reopened(Image.fromarray(levels.astype(dtype)), form)
    assert image.mode.startswith("I;16")
    got = np.asarray(to_mode(image, 1, 255))
    assert (got == np.rint(levels / 257)).all()


def test_32_bit_integers_are_read_as_sixteen_bits_and_no_more() -> None:
    levels = np.array([[0, 128, 129, 65535]], dtype=np.int32)
    image = reopened(Image.fromarray(levels), "TIFF")
    assert image.mode == "I"
    assert np.asarray(to_mode(image, 1, 255)).tolist() == [[0, 0, 1, 255]]
    with pytest.raises(ValueError, match=r"0 to 65536 lie outside 0\.\.65535"):
        to_mode(Image.fromarray(np.array([[0, 65536]], dtype=np.int32)), 1, 255)


def test_floats_are_read_in_either_range() -> None:
    one = Image.fromarray(np.array([[0.0, 0.5, 1.0]], dtype=np.float32))
    many = Image.fromarray(np.array([[0.0, 99.6, 255.0]], dtype=np.float32))
    assert np.asarray(to_mode(reopened(one, "TIFF"), 1, 255)).tolist() == [[0, 128, 255]]
    assert np.asarray(to_mode(reopened(many, "TIFF"), 1, 255)).tolist() == [[0, 100, 255]]


@pytest.mark.parametrize("bad", [[-1.0, 1.0], [0.0, 300.0], [0.0, float("nan")]])
def test_values_that_are_no_picture_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="lie outside"):
        eight_bits(np.array(bad))


def test_cmyk_black_and_white_are_black_and_white() -> None:
    for ink, level in (((0, 0, 0, 0), 255), ((0, 0, 0, 255), 0)):
        image = reopened(Image.new("CMYK", (2, 2), ink), "TIFF")
        assert image.mode == "CMYK"
        assert (np.asarray(to_mode(image, 3, 128)) == level).all()


@pytest.mark.parametrize("mode", ["1", "HSV", "YCbCr", "LAB", "PA", "RGBX", "RGBa"])
@pytest.mark.parametrize(("channels", "wanted"), [(1, "L"), (3, "RGB")])
def test_every_other_mode_converts(mode: str, channels: int, wanted: str) -> None:
    assert to_mode(Image.new(mode, (3, 3)), channels, 255).mode == wanted


def test_arrays_of_every_layout_are_read(noise: Draw) -> None:
    for channels in (1, 2, 3, 4):
        last = noise(channels, channels=channels).reshape(8, 8, channels)
        first = np.moveaxis(last, -1, 0)
        for array in (last, first):
            image = from_array(array)
            assert image.size == (8, 8)
            assert (np.asarray(image).reshape(8, 8, channels) == last).all()
    assert np.asarray(from_array(np.array([[True, False]]))).tolist() == [[255, 0]]
    assert np.asarray(from_array(np.array([[65535, 129]], dtype=np.uint16))).tolist() == [[255, 1]]
    assert np.asarray(from_array(np.array([[200, 3]], dtype=np.int64))).tolist() == [[200, 3]]


def test_five_channels_are_refused_with_the_choices() -> None:
    with pytest.raises(DataError) as error:
        from_array(np.zeros((8, 8, 5), dtype=np.uint8))
    assert str(error.value) == (
        "Images of shape (8, 8, 5) cannot be read: no axis of theirs can be the channels. "
        "Choices: 1 (grey), 2 (grey and alpha), 3 (RGB), 4 (RGBA). "
        "Fix: store images as (H, W) or (H, W, C), or choose another data.image_column."
    )


@pytest.mark.parametrize(("channels", "wanted"), [(1, "L"), (3, "RGB")])
def test_a_folder_of_all_kinds_loads_as_one(
    image_folder: Callable[..., Path],
    load: Callable[..., ImageSource],
    noise: Draw,
    channels: int,
    wanted: str,
) -> None:
    upright = noise(9, height=6, width=12)
    turned = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    exif = turned.getexif()
    exif[0x0112] = 6  # "turn 90° clockwise to view"
    buffer = io.BytesIO()
    turned.save(buffer, "PNG", exif=exif)
    rgba = noise(2, channels=4)
    pictures = {
        "a.png": noise(0),
        "b.png": noise(1, channels=1),
        "c.png": rgba,
        "d.gif": Image.fromarray(noise(3)).quantize(),
        "e.png": noise(4, channels=1).astype(np.uint16) * 257,
        "f.tiff": Image.fromarray(noise(5, channels=4), mode=None).convert("CMYK"),
        "g.png": buffer.getvalue(),
    }
    source = load(image_folder(pictures), channels=channels, resolution=6)
    assert source.skipped == []
    images = source.batch(range(7)).images
    assert images.shape == (7, channels, 6, 6)
    oriented = np.asarray(Image.fromarray(upright).convert(wanted)).reshape(6, 12, channels)
    assert (images[6].permute(1, 2, 0).numpy() == oriented[:, 3:9]).all()
