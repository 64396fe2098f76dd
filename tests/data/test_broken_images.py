"""Broken images are named, counted and skipped, or stop a strict run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Array3D, ClassLabel, Image, Value

from deme.data import ImageSource, pixels
from deme.errors import DataError

Array = np.ndarray[Any, Any]
Load = Callable[..., ImageSource]
Write = Callable[..., Path]


@pytest.fixture
def half_broken(image_folder: Write, noise: Callable[..., Array], png: Any) -> Path:
    """Positions 0..5 in order of their names; 1, 2 and 5 are broken, each in another way."""
    whole = png(noise(9, 64, 64))
    return image_folder(
        {
            "a/0.png": noise(0),
            "a/1.png": b"",
            "a/2.png": whole[: len(whole) // 2],
            "b/3.png": noise(3),
            "b/4.png": noise(4),
            "b/5.jpg": b"\xff\xd8\xff not a jpeg",
        }
    )


def test_the_rest_is_kept_with_its_own_labels(
    load: Load, half_broken: Path, noise: Callable[..., Array], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="deme"):
        source = load(half_broken)
    assert source.skipped == ["a/1.png", "a/2.png", "b/5.jpg"]
    assert len(source) == 3
    batch = source.batch([0, 1, 2])
    expected = np.stack([noise(seed).transpose(2, 0, 1) for seed in (0, 3, 4)])
    assert (batch.images.numpy() == expected).all()
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 1, 1]
    assert "3 images" in source.describe()
    assert "3 skipped" in source.describe()
    for name in source.skipped:
        assert f"skipped the broken image {name}: " in caplog.text


def test_a_stream_puts_the_next_readable_image_in_its_place(load: Load, half_broken: Path) -> None:
    source = load(half_broken, cache="stream")
    assert len(source) == 6
    assert source.skipped == []
    batch = source.batch([5, 1, 3])
    assert source.skipped == ["a/1.png", "a/2.png", "b/5.jpg"]
    stand_ins = source.batch([0, 3, 3])
    assert torch.equal(batch.images, stand_ins.images)
    assert batch.labels is not None
    assert stand_ins.labels is not None
    assert torch.equal(batch.labels, stand_ins.labels)
    assert torch.equal(source.batch([5, 1, 3]).images, batch.images)
    assert source.skipped == ["a/1.png", "a/2.png", "b/5.jpg"]


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_strict_stops_at_the_name(load: Load, half_broken: Path, cache: str) -> None:
    with pytest.raises(DataError) as error:
        pixels(load(half_broken, cache=cache, strict=True), range(6))
    message = str(error.value)
    assert message.startswith(f"The image a/1.png of {half_broken} is broken: ")
    assert "Fix: repair or remove it, or set data.strict to false" in message


def test_images_without_a_file_are_named_by_their_row(
    load: Load, parquet: Write, noise: Callable[..., Array], png: Callable[[Array], bytes]
) -> None:
    good = [{"bytes": png(noise(seed)), "path": None} for seed in range(4)]
    rows = [good[0], None, good[1], {"bytes": b"?", "path": "x/y.png"}, good[2], good[3]]
    folder = parquet({"image": rows}, {"image": Image()})
    assert load(folder).skipped == ["row 1", "x/y.png"]
    assert load(folder, max_images=3).skipped == []  # rows 0, 2 and 4
    streamed = load(folder, cache="stream")
    pixels(streamed, range(6))
    assert streamed.skipped == ["row 1", "x/y.png"]


def test_values_that_are_no_picture_count_as_broken(load: Load, parquet: Write) -> None:
    arrays = np.zeros((3, 4, 4, 3), dtype=np.float32)
    arrays[1] = 1e6
    folder = parquet({"image": list(arrays)}, {"image": Array3D((4, 4, 3), "float32")})
    source = load(folder)
    assert source.skipped == ["row 1"]
    assert len(source) == 2


def test_all_broken_is_an_error_with_the_first_reason(load: Load, image_folder: Write) -> None:
    folder = image_folder({"a.png": b"x", "b.png": b"y"})
    with pytest.raises(DataError) as error:
        load(folder)
    assert str(error.value).startswith(
        f"{folder} holds no image that can be used (2 broken; the first is a.png: not an image "
        "that Pillow can read); at least 2 images are needed. Fix: "
    )
    with pytest.raises(DataError, match="at least 2 images are needed"):
        load(folder, cache="stream")


def test_one_good_image_among_broken_ones_is_too_few(
    load: Load, image_folder: Write, noise: Callable[..., Array]
) -> None:
    folder = image_folder({"a.png": noise(0), "b.png": b"y"})
    for cache in ("memory", "stream"):
        with pytest.raises(DataError, match="only one image that can be used"):
            pixels(load(folder, cache=cache), [0, 1])


def test_one_image_is_too_few(load: Load, image_folder: Write, noise: Callable[..., Array]) -> None:
    folder = image_folder({"a.png": noise(0)})
    with pytest.raises(DataError) as error:
        load(folder)
    assert str(error.value) == (
        f"{folder} holds only one image that can be used; at least 2 images are needed. "
        "Fix: check data.dataset, data.split and data.image_column, or add images."
    )


def test_an_empty_set_is_an_error(load: Load, parquet: Write) -> None:
    features = {"image": Image(), "label": ClassLabel(names=["a"]), "text": Value("string")}
    folder = parquet({"image": [], "label": [], "text": []}, features)
    with pytest.raises(DataError) as error:
        load(folder)
    assert str(error.value) == (
        f"The split 'train' of {folder} is empty. Choices: train. "
        "Fix: set data.split to one that holds at least 2 images."
    )


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_five_channels_stop_at_once_even_when_not_strict(
    load: Load, parquet: Write, cache: str
) -> None:
    arrays = list(np.zeros((3, 8, 8, 5), dtype=np.uint8))
    folder = parquet({"image": arrays}, {"image": Array3D((8, 8, 5), "uint8")})
    with pytest.raises(DataError, match=r"Images of shape \(8, 8, 5\).*Choices: 1 \(grey\)"):
        load(folder, cache=cache)


@pytest.mark.parametrize("channels", [0, 2, 4, 5])
def test_a_model_of_other_channels_is_refused(load: Load, channels: int) -> None:
    with pytest.raises(DataError) as error:
        load("digits", channels=channels)
    assert str(error.value) == (
        f"Images of {channels} channels cannot be made for the model. "
        "Choices: 1 (L), 3 (RGB). Fix: use a model of grey or RGB images."
    )


def test_a_resolution_of_nothing_is_refused(load: Load) -> None:
    with pytest.raises(DataError, match="resolution of 0"):
        load("digits", resolution=0)
