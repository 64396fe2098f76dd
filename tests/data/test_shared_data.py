"""Real images, through the code that a user's hub id goes through."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from deme.data import ImageSource, pixels

pytestmark = pytest.mark.data
Load = Callable[..., ImageSource]


def test_cifar10_has_its_published_statistics(load: Load, shared_data: Path) -> None:
    source = load(shared_data / "cifar10", resolution=32, max_images=5000)
    images = pixels(source, range(5000)).double() / 255
    # Published for the 50 000: mean 0.4914, 0.4822, 0.4465; deviation 0.247, 0.243, 0.262.
    assert images.mean((0, 2, 3)).tolist() == pytest.approx([0.4914, 0.4822, 0.4465], abs=0.01)
    assert images.mean().item() == pytest.approx(0.4734, abs=0.01)
    deviation = images.transpose(0, 1).flatten(1).std(1)
    assert deviation.tolist() == pytest.approx([0.247, 0.243, 0.262], abs=0.01)
    assert source.class_names is not None
    assert source.class_names[3] == "cat"
    labels = source.batch(range(5000)).labels
    assert labels is not None
    assert torch.bincount(labels).min() > 400


def test_cifar10_streams_the_same_bytes(load: Load, shared_data: Path) -> None:
    settings = {"resolution": 32, "max_images": 64, "split": "test", "random_flip": True}
    batches = [
        load(shared_data / "cifar10", cache=cache, **settings).batch(
            range(64), torch.Generator().manual_seed(7)
        )
        for cache in ("memory", "stream")
    ]
    assert torch.equal(batches[0].images, batches[1].images)


def test_fashion_mnist_is_grey(load: Load, shared_data: Path) -> None:
    source = load(shared_data / "fashion_mnist", channels=1, resolution=28, max_images=2000)
    mean = pixels(source, range(2000)).double().mean().item() / 255
    assert mean == pytest.approx(0.286, abs=0.01)  # published: 0.2860
    assert source.num_classes == 10


def test_tiles_have_captions_and_their_transparency_takes_the_background(
    load: Load, shared_data: Path
) -> None:
    white, black = (
        load(shared_data / "crawl_tiles", resolution=32, max_images=300, background=level)
        for level in (255, 0)
    )
    assert white.has_captions
    captions = white.batch([0, 5]).captions
    assert captions is not None
    assert all(captions)
    on_white, on_black = (pixels(source, range(300)).int() for source in (white, black))
    # On white a pixel is c·a + 255(1 - a), on black c·a: all channels differ by as much.
    difference = on_white - on_black
    assert difference.min() >= -1
    assert difference.max() == 255
    assert (difference.amax(1) - difference.amin(1)).max() <= 1


def test_emoji_are_resized_and_cropped_at_random(load: Load, shared_data: Path) -> None:
    source = load(
        shared_data / "noto_emoji",
        resolution=48,
        max_images=40,
        center_crop=False,
        random_flip=True,
    )
    batch = source.batch(range(40), torch.Generator().manual_seed(0))
    assert batch.images.shape == (40, 3, 48, 48)
    assert source.skipped == []
