import errno
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deme.denoisers import Denoiser
from deme.errors import ConfigError, StorageError
from deme.generate import ImageFolder, ImageRequest, SamplerConfig, generate_images

REQUEST = ImageRequest(SamplerConfig(sampler="ddpm", sampler_steps=3), seed=3, count=7)


@pytest.fixture
def folder(denoiser: Denoiser, tmp_path: Path) -> ImageFolder:
    made = ImageFolder(tmp_path / "images", 7, shard_size=3)
    made.generate(denoiser, REQUEST)
    return made


def names(folder: ImageFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_shards_hold_the_images_in_order(denoiser: Denoiser, folder: ImageFolder) -> None:
    assert names(folder) == ["shard-00000.npy", "shard-00001.npy", "shard-00002.npy"]
    assert folder.missing() == []
    images = folder.images()
    assert images.shape == (7, 1, 8, 8) and images.dtype == torch.uint8
    together = generate_images(denoiser, REQUEST)
    assert int((images.int() - together.int()).abs().max()) <= 1


def test_a_deleted_shard_alone_is_made_again_with_the_same_bytes(
    denoiser: Denoiser, folder: ImageFolder
) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.path.iterdir()}
    folder.shard_path(1).unlink()
    assert folder.missing() == [1]
    finished: list[int] = []
    folder.generate(denoiser, REQUEST, on_progress=finished.append)
    assert {path: path.read_bytes() for path in before} == {p: b for p, (b, _) in before.items()}
    for number in (0, 2):
        path = folder.shard_path(number)
        assert path.stat().st_mtime_ns == before[path][1]
    assert finished == [3, 3, 1]  # what was there counts as finished


@pytest.mark.parametrize("world", [2, 3, 5])
def test_any_split_over_processes_makes_the_same_shards(
    denoiser: Denoiser, folder: ImageFolder, tmp_path: Path, world: int
) -> None:
    split = ImageFolder(tmp_path / "split", 7, shard_size=3)
    for rank in reversed(range(world)):
        split.generate(denoiser, REQUEST, rank=rank, world=world)
    for path in folder.path.iterdir():
        assert (split.path / path.name).read_bytes() == path.read_bytes()
    assert names(split) == names(folder)


def test_other_shards_hold_the_same_images(
    denoiser: Denoiser, folder: ImageFolder, tmp_path: Path
) -> None:
    other = ImageFolder(tmp_path / "other", 7, shard_size=4)
    other.generate(denoiser, REQUEST)
    assert int((other.images().int() - folder.images().int()).abs().max()) <= 1


def test_a_missing_shard_is_an_error(folder: ImageFolder) -> None:
    folder.shard_path(2).unlink()
    with pytest.raises(StorageError, match=r"shard-00002\.npy is missing or truncated"):
        folder.images()


def test_a_shard_truncated_anywhere_is_an_error(folder: ImageFolder) -> None:
    path = folder.shard_path(1)
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        with pytest.raises(StorageError, match=r"shard-00001\.npy is missing or truncated"):
            folder.images()


def test_a_shard_of_another_size_is_an_error(folder: ImageFolder) -> None:
    np.save(folder.shard_path(1), np.zeros((2, 1, 8, 8), np.uint8))
    with pytest.raises(StorageError, match=r"holds 2 images, not 3\. Fix: delete it"):
        folder.images()


def test_a_shard_is_complete_or_absent(
    denoiser: Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk(file: object, array: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = ImageFolder(tmp_path / "images", 7, shard_size=3)
    folder.generate(denoiser, REQUEST, rank=0, world=3)
    monkeypatch.setattr(np, "save", fill_the_disk)
    with pytest.raises(StorageError, match="No space left"):
        folder.generate(denoiser, REQUEST)
    assert names(folder) == ["shard-00000.npy"]


@pytest.mark.parametrize("channels", [1, 3])
def test_pngs_are_lossless(tmp_path: Path, channels: int) -> None:
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (5, channels, 6, 6), dtype=np.uint8)
    folder = ImageFolder(tmp_path, 5, shard_size=2)
    for number, indices in enumerate(folder.shards()):
        np.save(folder.shard_path(number), pixels[list(indices)])
    paths = folder.save_png(tmp_path / "png")
    assert [path.name for path in paths] == [f"{i:06d}.png" for i in range(5)]
    assert sorted((tmp_path / "png").iterdir()) == paths
    for path, expected in zip(paths, pixels, strict=True):
        with Image.open(path) as picture:
            found = np.asarray(picture)
        assert np.array_equal(found.reshape(6, 6, channels).transpose(2, 0, 1), expected)


@pytest.mark.parametrize(("count", "shard_size"), [(0, 3), (3, 0)])
def test_a_folder_of_nothing_is_refused(tmp_path: Path, count: int, shard_size: int) -> None:
    with pytest.raises(ConfigError, match=f"{count} images in shards of {shard_size}"):
        ImageFolder(tmp_path, count, shard_size)
