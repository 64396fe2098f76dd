"""Every layout of data set gives the same pixels, labels and captions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Array3D, ClassLabel, Image, List, Value
from sklearn.datasets import load_digits

from deme.data import ImageSource, pixels

Array = np.ndarray[Any, Any]
Load = Callable[..., ImageSource]
Write = Callable[..., Path]
Draw = Callable[..., Array]


def stack(pictures: list[Array]) -> Array:
    return np.stack([picture.transpose(2, 0, 1) for picture in pictures])


@pytest.mark.parametrize("cache", ["memory", "stream"])
def test_a_hub_layout_gives_pixels_labels_and_captions(
    load: Load, parquet: Write, noise: Draw, png: Callable[[Array], bytes], cache: str
) -> None:
    pictures = [noise(seed) for seed in range(5)]
    folder = parquet(
        {
            "img": [{"bytes": png(picture), "path": None} for picture in pictures],
            "label": [2, 0, 1, 1, 0],
            "text": ["a", "b", None, "d", "e"],
        },
        {"img": Image(), "label": ClassLabel(names=["x", "y", "z"]), "text": Value("string")},
    )
    source = load(folder, cache=cache)
    batch = source.batch([4, 0, 2, 0])
    assert batch.images.dtype == torch.uint8
    assert (batch.images.numpy() == stack(pictures)[[4, 0, 2, 0]]).all()
    assert batch.labels is not None
    assert batch.labels.dtype == torch.int64
    assert batch.labels.tolist() == [0, 2, 1, 2]
    assert batch.captions == ("e", "a", "", "a")
    assert (source.num_classes, source.class_names) == (3, ("x", "y", "z"))
    where = {"memory": "cached", "stream": "streamed"}[cache]
    assert source.describe() == (
        f"{folder}: 5 images, 8×8 RGB, 3 classes, captions, 0 skipped, {where}"
    )


@pytest.mark.parametrize("kind", ["bytes", "undeclared", "array", "nested"])
def test_images_are_read_from_every_kind_of_column(
    load: Load, parquet: Write, noise: Draw, png: Callable[[Array], bytes], kind: str
) -> None:
    pictures = [noise(seed) for seed in range(3)]
    encoded = [png(picture) for picture in pictures]
    columns: dict[str, tuple[list[Any], Any]] = {
        "bytes": (encoded, Value("binary")),
        "undeclared": (
            [{"bytes": data, "path": None} for data in encoded],
            {"bytes": Value("binary"), "path": Value("string")},
        ),
        "array": (list(stack(pictures)), Array3D((3, 8, 8), "uint8")),
        "nested": ([p.tolist() for p in pictures], List(List(List(Value("uint8"))))),
    }
    values, feature = columns[kind]
    source = load(parquet({"image": values}, {"image": feature}))
    assert (pixels(source, range(3)).numpy() == stack(pictures)).all()
    assert source.num_classes is None
    assert source.batch([0]).labels is None
    assert source.batch([0]).captions is None


def test_class_folders_give_labels(load: Load, image_folder: Write, noise: Draw) -> None:
    names = ["cat/a.png", "cat/b.png", "dog/c.png"]
    folder = image_folder({name: noise(seed) for seed, name in enumerate(names)})
    source = load(folder)
    batch = source.batch([0, 1, 2])
    assert batch.labels is not None
    assert batch.labels.tolist() == [0, 0, 1]
    assert source.class_names == ("cat", "dog")
    assert (batch.images.numpy() == stack([noise(seed) for seed in range(3)])).all()


# datasets leaves metadata.csv open until it is collected, which pytest takes for an error.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_metadata_gives_captions(load: Load, image_folder: Write, noise: Draw, form: str) -> None:
    folder = image_folder({"a.png": noise(0), "b.png": noise(1)})
    rows = [{"file_name": "b.png", "text": "bee"}, {"file_name": "a.png", "text": "ay"}]
    if form == "jsonl":
        (folder / "metadata.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    else:
        lines = ["file_name,text", *(f"{row['file_name']},{row['text']}" for row in rows)]
        (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    batch = load(folder).batch([0, 1])
    captions = dict(zip(batch.captions or (), batch.images.numpy(), strict=True))
    assert set(captions) == {"ay", "bee"}
    assert (captions["ay"] == stack([noise(0)])[0]).all()
    assert (captions["bee"] == stack([noise(1)])[0]).all()


def test_a_list_of_captions_gives_its_first(
    load: Load, parquet: Write, noise: Draw, png: Callable[[Array], bytes]
) -> None:
    images = [{"bytes": png(noise(seed)), "path": None} for seed in range(3)]
    folder = parquet(
        {"image": images, "caption": [["a", "b"], [], ["c"]]},
        {"image": Image(), "caption": List(Value("string"))},
    )
    assert load(folder).batch([2, 1, 0]).captions == ("c", "", "a")


def test_digits_are_scikit_learns(load: Load) -> None:
    source = load("digits", channels=1, resolution=8)
    digits: Any = load_digits()
    everything = source.batch(range(len(source)))
    assert len(source) == 1797
    # v · 255/16, rounded half up: an independent integer form.
    expected = (digits.images.astype(int) * 255 * 2 + 16) // 32
    assert (everything.images[:, 0].numpy() == expected).all()
    assert everything.labels is not None
    assert (everything.labels.numpy() == digits.target).all()
    assert source.class_names == tuple("0123456789")
    wide = load("digits", channels=3, resolution=8).batch([7]).images
    assert torch.equal(wide, everything.images[7:8].expand(1, 3, 8, 8))
    assert load("digits", channels=1, resolution=8, cache="stream").residence == "streamed"
