"""Every way in which a data set cannot be had is one message with what was tried."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import datasets
import numpy as np
import pytest
from datasets import Image
from datasets.exceptions import DatasetGenerationError

from deme.config import parse_config
from deme.data import DataConfig, ImageSource
from deme.data.opening import open_dataset
from deme.errors import ConfigError, DataError, StorageError

Array = np.ndarray[Any, Any]
Load = Callable[..., ImageSource]
Write = Callable[..., Path]


@pytest.fixture
def hub_layout(parquet: Write, noise: Callable[..., Array], png: Callable[[Array], bytes]) -> Path:
    """Two images to train on and three to test."""
    for split, count in (("train", 2), ("test", 3)):
        rows = [{"bytes": png(noise(seed)), "path": None} for seed in range(count)]
        folder = parquet({"image": rows}, {"image": Image()}, split=split)
    return folder


def message(load: Load, *arguments: Any, **settings: Any) -> str:
    with pytest.raises(DataError) as error:
        load(*arguments, **settings)
    return str(error.value)


def test_splits_are_chosen_by_name_and_by_slice(load: Load, hub_layout: Path) -> None:
    assert len(load(hub_layout)) == 2
    assert len(load(hub_layout, split="test")) == 3
    assert len(load(hub_layout, split="test[1:]")) == 2
    assert len(load(hub_layout, split="train+test")) == 5


@pytest.mark.parametrize("split", ["tset", "train[:x]", "tset[:10%]", ""])
def test_a_missing_split_lists_the_splits(load: Load, hub_layout: Path, split: str) -> None:
    got = message(load, hub_layout, split=split)
    assert got.startswith(f"{hub_layout} has no split {split!r}. ")
    assert "train" in got.split("Choices: ")[1]
    assert "test" in got.split("Choices: ")[1]
    assert ("Did you mean 'test'?" in got) == (split == "tset")


def test_a_missing_configuration_lists_them(load: Load, hub_layout: Path) -> None:
    got = message(load, hub_layout, config_name="defualt")
    assert got == (
        f"{hub_layout} has no configuration 'defualt'. Did you mean 'default'? "
        "Choices: default. Fix: set data.config_name to one of them."
    )


def test_several_configurations_must_be_chosen_from(load: Load, hub_layout: Path) -> None:
    (hub_layout / "README.md").write_text(
        "---\nconfigs:\n- config_name: one\n  data_files: train*\n"
        "- config_name: two\n  data_files: test*\n---\n"
    )
    got = message(load, hub_layout)
    assert "has several configurations and none was chosen. Choices: one, two." in got
    assert len(load(hub_layout, config_name="two")) == 3


@pytest.mark.parametrize("dataset", ["./missing", "/no/such/folder", "~/nowhere-at-all", "a/b/c"])
def test_a_missing_folder_says_where_it_looked(load: Load, dataset: str) -> None:
    got = message(load, dataset)
    assert got.startswith(f"There is no folder {dataset} (looked for /")
    assert "uoft-cs/cifar10" in got


def test_a_file_is_not_a_data_set(load: Load, hub_layout: Path) -> None:
    file = hub_layout / "train-00000-of-00001.parquet"
    assert f"data.dataset={hub_layout}" in message(load, file)


@pytest.mark.parametrize("leftover", [None, "notes.xyz"])
def test_a_folder_without_images_is_an_error(
    load: Load, tmp_path: Path, leftover: str | None
) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    if leftover:
        (folder / leftover).write_text("nothing to see")
    assert "holds no images and no parquet files" in message(load, folder)


def test_a_folder_of_texts_has_no_image_column(load: Load, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("hello\nthere\n")
    assert "has no column of images; its columns are text (string)" in message(load, folder)


def test_a_truncated_parquet_file_is_an_error(load: Load, hub_layout: Path) -> None:
    file = hub_layout / "train-00000-of-00001.parquet"
    file.write_bytes(file.read_bytes()[:100])
    got = message(load, hub_layout)
    assert got.startswith(f"{hub_layout} cannot be read: ")
    assert "Fix: " in got


@pytest.mark.usefixtures("offline")
def test_an_unreachable_hub_id_says_what_was_tried(load: Load) -> None:
    got = message(load, "nobody/nothing", revision="v1")
    assert got.startswith("The data set 'nobody/nothing' cannot be had. Tried: the folder /")
    assert "the hub at https://huggingface.co at revision v1" in got
    assert "Fix: check the name, the network and the login" in got
    assert "Did you mean 'digits'?" in message(load, "digit")


def test_remote_code_is_never_asked_for(
    load: Load, hub_layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    original = datasets.load_dataset_builder

    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(options)
        return original(*arguments, **options)

    monkeypatch.setattr(datasets, "load_dataset_builder", watched)
    load(hub_layout)
    assert [set(options) for options in seen] == [{"revision"}]


def test_a_full_disk_names_datasets_cache(
    hub_layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NoReturn:
        cause = OSError(errno.ENOSPC, "No space left on device")
        raise DatasetGenerationError("while generating") from cause

    monkeypatch.setattr("datasets.builder.DatasetBuilder.download_and_prepare", full)
    with pytest.raises(StorageError, match=r"No space left .* Fix: free space, or set HF_HOME"):
        open_dataset(DataConfig(dataset=str(hub_layout)), progress=False)


def test_datasets_bars_are_silenced_and_given_back(
    hub_layout: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    datasets.enable_progress_bars()
    open_dataset(DataConfig(dataset=str(hub_layout)), progress=False)
    assert capfd.readouterr().err == ""
    assert not datasets.are_progress_bars_disabled()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"datset": "digits"}, "Did you mean 'dataset'?"),
        ({"dataset": "d", "background": 256}, "background"),
        ({"dataset": "d", "max_images": 1}, "max_images"),
        ({"dataset": "d", "cache_limit_gb": 0}, "cache_limit_gb"),
        ({"dataset": "d", "interpolation": "biliner"}, "Did you mean 'bilinear'?"),
        ({"dataset": "d", "cache": "disk"}, "must be one of auto, memory, stream"),
    ],
)
def test_the_configuration_is_checked(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(DataConfig, values)
    assert words in str(error.value)
