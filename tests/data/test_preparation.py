"""Resize, crop and flip, against formulas and an independent resampler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from deme.data.preparation import Augmentation, Preparation, cropped, flipped

Array = np.ndarray[Any, Any]


def prepare(pixels: Array, resolution: int, crop: bool = True, how: Any = "bilinear") -> Array:
    channels = 1 if pixels.ndim == 2 else 3
    return Preparation(channels, resolution, how, 255, crop)(Image.fromarray(pixels))


@pytest.mark.parametrize("how", ["bilinear", "bicubic", "lanczos", "nearest"])
def test_an_image_of_the_right_size_is_untouched(noise: Callable[..., Array], how: str) -> None:
    color, grey = noise(0), noise(1, channels=1)
    assert (prepare(color, 8, how=how) == color.transpose(2, 0, 1)).all()
    assert (prepare(grey, 8, how=how) == grey[None]).all()


@pytest.mark.parametrize("how", ["bilinear", "bicubic"])
@pytest.mark.parametrize(("height", "width"), [(40, 60), (61, 33), (16, 16), (5, 9)])
def test_resizing_is_antialiased(height: int, width: int, how: str) -> None:
    rows, columns = np.mgrid[:height, :width] / 7
    smooth = (127 + 100 * np.sin(rows) * np.cos(columns)).astype(np.uint8)
    got = prepare(smooth, 12, crop=False, how=how)
    planes = torch.from_numpy(smooth)[None, None].float()
    reference = torch.nn.functional.interpolate(
        planes, got.shape[1:], mode=how, antialias=True, align_corners=False
    )
    assert np.abs(got[0] - reference[0, 0].numpy()).max() <= 1.5  # rounding, twice


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(40, 60, (12, 18)), (61, 33, (22, 12)), (100, 101, (12, 12)), (3, 7, (12, 28))],
)
def test_the_shorter_side_becomes_the_resolution(
    height: int, width: int, expected: tuple[int, int]
) -> None:
    blank = np.full((height, width), 9, dtype=np.uint8)
    got = prepare(blank, 12, crop=False)
    assert got.shape[1:] == expected
    assert (got == 9).all()


@pytest.mark.parametrize(("width", "left"), [(8, 0), (9, 0), (10, 1), (11, 2), (12, 2), (13, 2)])
def test_the_centre_crop_has_torchvisions_corner(width: int, left: int) -> None:
    # round() of half the room, to even at .5, is what torchvision's CenterCrop does.
    columns = np.tile(np.arange(width, dtype=np.uint8), (8, 1))
    assert (prepare(columns, 8)[0, 0] == np.arange(left, left + 8)).all()
    assert (prepare(columns.T.copy(), 8)[0, :, 0] == np.arange(left, left + 8)).all()


def test_random_places_reach_every_corner_and_no_further() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 1, 12).repeat(8, axis=1)
    places = np.linspace(0, np.nextafter(1, 0), 1001)
    corners = [int(cropped(image, 8, (0.3, place))[0, 0, 0]) for place in places]
    assert sorted(set(corners)) == [0, 1, 2, 3, 4]
    counts = np.bincount(corners)
    assert counts.max() - counts.min() <= 2
    assert cropped(image, 8, (0.999, 0.999)).shape == (1, 8, 8)


def test_flips_mirror_exactly_the_images_named() -> None:
    images = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).reshape(2, 3, 4, 5)
    got = flipped(images, torch.tensor([False, True]))
    assert torch.equal(got[0], images[0])
    assert (got[1].numpy() == images[1].numpy()[..., ::-1]).all()
    assert flipped(images, None) is images


def test_draws_depend_on_the_generator_alone_and_are_absent_without_one() -> None:
    both = Augmentation(random_flip=True, random_crop=True)
    one, two = (both.draw(400, torch.Generator().manual_seed(5)) for _ in range(2))
    assert one.flips is not None
    assert two.flips is not None
    assert one.places is not None
    assert two.places is not None
    assert torch.equal(one.flips, two.flips)
    assert torch.equal(one.places, two.places)
    assert 150 < int(one.flips.sum()) < 250  # five deviations of a fair coin
    for nothing in (both.draw(3, None), Augmentation().draw(3, torch.Generator())):
        assert nothing.flips is None
        assert nothing.places is None
