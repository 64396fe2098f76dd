"""Both kinds of source keep the same contract."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Image
from torch import Tensor

from deme.data import (
    DataConfig,
    ImageSource,
    MemorySource,
    StreamSource,
    disjoint_halves,
    load_images,
    pixels,
)
from deme.data.room import fits_memory, free_memory
from deme.errors import DataError

Array = np.ndarray[Any, Any]
Load = Callable[..., ImageSource]
Write = Callable[..., Path]
Draw = Callable[..., Array]


@pytest.fixture
def mixed(image_folder: Write, noise: Draw) -> Path:
    """Wide, high and square images, in two classes."""
    sizes = [(8, 8), (8, 20), (17, 8), (30, 13), (9, 9), (5, 6), (8, 9)]
    return image_folder(
        {f"{seed % 2}/{seed}.png": noise(seed, *size) for seed, size in enumerate(sizes)}
    )


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("center", [False, True])
def test_streamed_equals_cached_with_and_without_augmentation(
    load: Load, mixed: Path, flip: bool, center: bool
) -> None:
    sources = [
        load(mixed, cache=cache, random_flip=flip, center_crop=center)
        for cache in ("memory", "stream")
    ]
    assert [type(source) for source in sources] == [MemorySource, StreamSource]
    indices = [3, 1, 1, 6, 0, 2, 5, 4, 3]
    seen: set[bytes] = set()
    for seed in (None, 1, 2, 3):
        one, two = (
            source.batch(indices, None if seed is None else torch.Generator().manual_seed(seed))
            for source in sources
        )
        assert torch.equal(one.images, two.images)
        assert one.labels is not None
        assert two.labels is not None
        assert torch.equal(one.labels, two.labels)
        seen.add(one.images.numpy().tobytes())
    assert len(seen) == (4 if flip or not center else 1)


def test_random_crops_are_windows_of_the_image(load: Load, image_folder: Write) -> None:
    wide = np.arange(8 * 20, dtype=np.uint8).reshape(8, 20)
    source = load(image_folder({"a.png": wide, "b.png": wide.T}), channels=1, center_crop=False)
    windows = {wide[:, left : left + 8].tobytes() for left in range(13)}
    got = {
        source.batch([0], torch.Generator().manual_seed(seed)).images.numpy().tobytes()
        for seed in range(200)
    }
    assert got == windows
    assert source.batch([0]).images.numpy().tobytes() == wide[:, 6:14].tobytes()
    tall = source.batch([1]).images[0, 0].numpy()
    assert (tall == wide.T[6:14]).all()


def test_flips_are_even_and_leave_labels_alone(noise: Draw) -> None:
    images = torch.from_numpy(noise(0)).permute(2, 0, 1).repeat(1000, 1, 1, 1)
    source = MemorySource.from_images(images, torch.arange(1000), random_flip=True)
    batch = source.batch(range(1000), torch.Generator().manual_seed(0))
    mirrored = (batch.images == images.flip(-1)).flatten(1).all(1)
    untouched = (batch.images == images).flatten(1).all(1)
    assert bool((mirrored ^ untouched).all())
    assert 420 < int(mirrored.sum()) < 580  # five deviations of a fair coin
    assert batch.labels is not None
    assert torch.equal(batch.labels, torch.arange(1000))
    assert torch.equal(source.batch(range(1000)).images, images)


def test_the_digest_follows_the_content(
    load: Load, parquet: Write, image_folder: Write, noise: Draw, png: Callable[[Array], bytes]
) -> None:
    def folder(seeds: list[int], labels: list[int], name: str) -> Path:
        rows = [{"bytes": png(noise(seed)), "path": None} for seed in seeds]
        kind = {"image": Image(), "label": ClassLabel(names=["a", "b"])}
        return parquet({"image": rows, "label": labels}, kind, name)

    one = load(folder([0, 1, 2], [0, 0, 1], "one")).digest
    assert load(folder([0, 1, 2], [0, 0, 1], "same")).digest == one
    pictures = {"a/0.png": noise(0), "a/1.png": noise(1), "b/2.png": noise(2)}
    assert load(image_folder(pictures)).digest == one
    others = {
        load(folder([0, 1, 3], [0, 0, 1], "pixels")).digest,
        load(folder([1, 0, 2], [0, 0, 1], "order")).digest,
        load(folder([0, 1, 2], [0, 1, 1], "labels")).digest,
    }
    assert len(others | {one}) == 4


def test_the_digest_follows_the_shape_of_what_is_kept_uncropped(
    load: Load, image_folder: Write, noise: Draw
) -> None:
    wide, square = noise(0, 8, 12, 1), noise(1, channels=1)
    digests = {
        load(image_folder(pictures, name), channels=1, center_crop=False).digest
        for name, pictures in {
            "wide": {"a.png": wide, "b.png": square},
            "high": {"a.png": wide.reshape(12, 8), "b.png": square},
        }.items()
    }
    assert len(digests) == 2


def test_the_streamed_digest_follows_the_data_set_and_the_preparation(
    load: Load, mixed: Path
) -> None:
    one = load(mixed, cache="stream").digest
    assert load(mixed, cache="stream").digest == one
    others = {
        load(mixed, cache="stream", max_images=3).digest,
        load(mixed, cache="stream", resolution=4).digest,
        load(mixed, cache="stream", channels=1).digest,
        load(mixed, cache="stream", interpolation="bicubic").digest,
        load(mixed, cache="stream", label_column="none").digest,
    }
    assert len(others | {one}) == 6


def test_auto_streams_what_does_not_fit(
    load: Load, mixed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = 7 * 3 * 8 * 8
    assert load(mixed, cache_limit_gb=(size - 1) / 2**30).residence == "streamed"
    ragged = (8 * 8 + 8 * 20 + 17 * 8 + 8 * 18 + 8 * 8 + 8 * 9 + 8 * 9) * 3
    for limit, where in ((ragged - 7, "streamed"), (ragged, "cached")):
        got = load(mixed, cache_limit_gb=limit / 2**30, center_crop=False)
        assert got.residence == where
    monkeypatch.setattr("deme.data.room.free_memory", lambda: 2 * size - 1)
    assert load(mixed).residence == "streamed"
    monkeypatch.setattr("deme.data.room.free_memory", lambda: 2 * size)
    assert load(mixed).residence == "cached"


def test_free_memory_heeds_the_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr("deme.data.room._CGROUP_LIMIT", limit)
    unlimited = free_memory()
    assert unlimited > 2**20
    limit.write_text("1048576\n")
    assert free_memory() == 2**20
    assert fits_memory(2**19, 1.0)
    assert not fits_memory(2**19 + 1, 1.0)
    limit.write_text("max\n")
    assert free_memory() > 2**20


def test_max_images_are_spread_over_the_set(load: Load) -> None:
    some = load("digits", channels=1, resolution=8, max_images=100)
    everything = load("digits", channels=1, resolution=8)
    rows = [position * 1797 // 100 for position in range(100)]
    assert len(some) == 100
    assert torch.equal(pixels(some, range(100)), pixels(everything, rows))
    assert some.num_classes == 10
    assert len(load("digits", channels=1, resolution=8, max_images=5000)) == 1797


@pytest.mark.parametrize("cache", ["memory", "stream"])
@pytest.mark.parametrize("center", [True, False])
def test_an_index_outside_is_an_error(load: Load, mixed: Path, cache: str, center: bool) -> None:
    source = load(mixed, cache=cache, center_crop=center)
    for index in (-1, 7):
        with pytest.raises(IndexError):
            source.batch([0, index])
    assert source.batch([]).images.shape == (0, 3, 8, 8)


def test_pixels_reads_any_number_in_order(load: Load) -> None:
    source = load("digits", channels=1, resolution=8)
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))
    got = pixels(source, order)
    assert got.dtype == torch.uint8
    assert torch.equal(got, source.batch(order.tolist()).images)
    assert pixels(source, []).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_disjoint_halves_share_nothing_and_miss_nothing(count: int) -> None:
    one, two = disjoint_halves(count, seed=3)
    assert (len(one), len(two)) == (count // 2, count - count // 2)
    assert sorted([*one.tolist(), *two.tolist()]) == list(range(count))


def test_disjoint_halves_follow_the_seed() -> None:
    def half(seed: int) -> Tensor:
        return disjoint_halves(100, seed)[0]

    assert torch.equal(half(1), half(1))
    assert not torch.equal(half(1), half(2))
    assert half(1).tolist() != list(range(50))


def test_from_images_checks_what_it_is_given() -> None:
    good = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    source = MemorySource.from_images(good, torch.tensor([0, 5, 1, 1]), ["a", "b", "c", "d"])
    assert source.num_classes == 6
    assert source.batch([1]).captions == ("b",)
    for bad in (good.float(), good[0], good[:, :2], good[..., :7], good[:0]):
        with pytest.raises(DataError, match="Choices: uint8"):
            MemorySource.from_images(bad)
    with pytest.raises(DataError, match="4 images and 2 labels"):
        MemorySource.from_images(good, torch.tensor([0, 1]))


def test_progress_is_shown_only_when_asked_for(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for progress in (False, True):
        load_images(
            DataConfig(dataset="digits"),
            channels=1,
            resolution=8,
            cache_folder=tmp_path / str(progress),
            progress=progress,
        )
        out, err = capfd.readouterr()
        assert out == ""
        assert ("Decoding digits" in err) == progress


def test_importing_the_room_is_light() -> None:
    heavy = "{'datasets', 'sklearn', 'PIL.Image', 'diffusers', 'matplotlib'}"
    code = f"import sys, deme.data; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
