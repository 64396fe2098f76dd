"""The cache of decoded images is made once, complete or absent, and never trusted blindly."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from deme.data import ImageSource, pixels
from deme.errors import DataError, StorageError

Array = np.ndarray[Any, Any]
Load = Callable[..., ImageSource]


@pytest.fixture
def folder(image_folder: Callable[..., Path], noise: Callable[..., Array]) -> Path:
    """Three wide pictures and a square one."""
    sizes = [(8, 12), (8, 9), (8, 8), (16, 18)]
    pictures = {f"{seed}.png": noise(seed, *size) for seed, size in enumerate(sizes)}
    return image_folder(pictures)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def fail(*_: object) -> NoReturn:
            raise AssertionError("decoded again")

        monkeypatch.setattr("deme.data.decoder.Decoder.__call__", fail)

    return forbid


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.mark.parametrize("center", [True, False])
def test_a_second_load_decodes_nothing_and_is_equal(
    load: Load, folder: Path, no_decoding: Callable[[], None], center: bool
) -> None:
    first = load(folder, center_crop=center)
    seen = pixels(first, range(4))
    no_decoding()
    second = load(folder, center_crop=center)
    assert torch.equal(pixels(second, range(4)), seen)
    assert second.digest == first.digest
    assert second.describe() == first.describe()


def test_the_cache_is_compact(load: Load, folder: Path, cache_folder: Path) -> None:
    load(folder)
    (pixel_file,) = cache_folder.glob("*.npy")
    assert pixel_file.stat().st_size - 4 * 3 * 8 * 8 <= 128
    load(folder, center_crop=False)
    sizes = {path.stat().st_size for path in cache_folder.glob("*.npy")} - {
        pixel_file.stat().st_size
    }
    assert sizes == {128 + 3 * 8 * (12 + 9 + 8 + 9)}


def test_each_thing_that_decides_the_pixels_has_its_own_cache(
    load: Load, folder: Path, cache_folder: Path
) -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"resolution": 6},
        {"channels": 1},
        {"interpolation": "nearest"},
        {"background": 0},
        {"center_crop": False},
        {"max_images": 3},
    ]
    for variant in variants:
        load(folder, **variant)
    assert len(list(cache_folder.glob("*.npy"))) == len(variants)
    load(folder, random_flip=True, strict=True, cache_limit_gb=1.0)
    assert len(list(cache_folder.glob("*.npy"))) == len(variants)


def test_a_changed_image_is_decoded_anew(load: Load, folder: Path) -> None:
    from PIL import Image

    load(folder)
    path = folder / "2.png"
    Image.new("RGB", (8, 8), (1, 2, 3)).save(path)
    later = path.stat().st_mtime + 10
    os.utime(path, (later, later))
    got = load(folder).batch([2]).images[0]
    assert got.flatten(1).tolist() == [[1] * 64, [2] * 64, [3] * 64]


def test_a_write_that_is_killed_leaves_nothing(
    load: Load, folder: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(file: Any, images: list[Array], same: bool) -> NoReturn:
        file.write(images[0].tobytes())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("deme.data.cache._write_npy", killed)
        with pytest.raises(KeyboardInterrupt):
            load(folder)
    assert contents(cache_folder) == {}
    load(folder)
    assert len(contents(cache_folder)) == 2


def test_killed_between_the_pixels_and_the_index_gives_the_same_bytes_again(
    load: Load, folder: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(folder)
    complete = contents(cache_folder)
    for path in cache_folder.iterdir():
        path.unlink()

    def killed(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("deme.data.cache.write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            load(folder)
    assert [path.suffix for path in cache_folder.iterdir()] == [".npy"]
    load(folder)
    assert contents(cache_folder) == complete


def damage_truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def damage_empty(path: Path) -> None:
    path.write_bytes(b"")


def damage_one_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)


def damage_remove(path: Path) -> None:
    path.unlink()


def damage_foreign(path: Path) -> None:
    path.write_text('["something", "else"]')


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize(
    "damage", [damage_truncate, damage_empty, damage_one_byte, damage_remove, damage_foreign]
)
def test_a_damaged_cache_is_made_anew(
    load: Load, folder: Path, cache_folder: Path, damage: Callable[[Path], None], suffix: str
) -> None:
    before = load(folder)
    complete = contents(cache_folder)
    (path,) = cache_folder.glob(f"*{suffix}")
    damage(path)
    after = load(folder)
    assert contents(cache_folder) == complete
    assert after.digest == before.digest


def test_a_full_disk_is_one_clear_error_and_leaves_nothing(
    load: Load, folder: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("deme.data.cache._write_npy", full)
    with pytest.raises(StorageError, match="No space left while writing"):
        load(folder)
    assert contents(cache_folder) == {}


def test_a_cache_folder_that_cannot_be_made_is_an_error(
    load: Load, folder: Path, cache_folder: Path
) -> None:
    cache_folder.write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="Cannot write"):
        load(folder)


def test_auto_uses_a_cache_that_is_there_and_stream_does_not(load: Load, folder: Path) -> None:
    load(folder)
    assert load(folder, cache_limit_gb=1e-9).residence == "cached"
    assert load(folder, cache="stream").residence == "streamed"


def test_strict_refuses_a_cache_that_skipped(
    load: Load, folder: Path, no_decoding: Callable[[], None]
) -> None:
    (folder / "1.png").write_bytes(b"no picture")
    assert load(folder).skipped == ["1.png"]
    no_decoding()
    assert load(folder).skipped == ["1.png"]
    with pytest.raises(DataError, match=r"The image 1\.png of .* is broken"):
        load(folder, strict=True)
