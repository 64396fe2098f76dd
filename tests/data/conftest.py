"""Tiny data sets made on the fly, and a cache of ``datasets`` that each test has to itself."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from deme.data import DataConfig, ImageSource, load_images

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True)
def own_datasets_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets-cache")
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def cache_folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def load(cache_folder: Path) -> Callable[..., ImageSource]:
    def load_with(
        dataset: Path | str, channels: int = 3, resolution: int = 8, **settings: Any
    ) -> ImageSource:
        return load_images(
            DataConfig(dataset=str(dataset), **settings),
            channels=channels,
            resolution=resolution,
            cache_folder=cache_folder,
            progress=False,
        )

    return load_with


@pytest.fixture
def noise() -> Callable[..., Array]:
    """Random uint8 pictures, different for each seed."""

    def draw(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> Array:
        shape = (height, width, channels) if channels > 1 else (height, width)
        return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)

    return draw


@pytest.fixture
def png() -> Callable[[Array], bytes]:
    def encode(pixels: Array) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    return encode


@pytest.fixture
def parquet(tmp_path: Path) -> Callable[..., Path]:
    """Writes one split of a folder in a hub's layout."""

    def write(
        columns: dict[str, Sequence[Any]],
        features: dict[str, Any],
        name: str = "hub-layout",
        split: str = "train",
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        table = datasets.Dataset.from_dict(dict(columns), features=datasets.Features(features))
        table.to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return folder

    return write


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes pictures (arrays, Pillow images or raw bytes) under their names."""

    def write(pictures: dict[str, Any], name: str = "pictures") -> Path:
        folder = tmp_path / name
        for path, picture in pictures.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            if isinstance(picture, bytes):
                (folder / path).write_bytes(picture)
            elif isinstance(picture, Image.Image):
                picture.save(folder / path)
            else:
                Image.fromarray(picture).save(folder / path)
        return folder

    return write


@pytest.fixture(scope="session")
def shared_data() -> Path:
    default = Path(__file__).parents[2] / "../shared/data"
    folder = Path(os.environ.get("DEME_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"there is no real data at {folder} (set DEME_TEST_DATA)")
    return folder
