"""Statistics as files: complete or absent, checked when they are opened."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from deme.data import ImageSource
from deme.decouple import TimestepRange
from deme.errors import MismatchError, StorageError
from deme.merge.sources.contract import TensorInfo
from deme.merge.statistics import (
    ExpertStatistics,
    collect_statistics,
    files,
    read_statistics,
    write_statistics,
)
from merge.tiny_denoiser import TinyDenoiser


@pytest.fixture
def collected(tiny_source: Callable[..., ImageSource]) -> Callable[..., ExpertStatistics]:
    def collect(kind: Any = "fisher") -> ExpertStatistics:
        range_ = TimestepRange(20, 60)
        return collect_statistics(TinyDenoiser(), tiny_source(), range_, kind=kind, samples=2)

    return collect


def layout(**changes: tuple[int, ...] | None) -> dict[str, TensorInfo]:
    found = {n: TensorInfo(tuple(w.shape), w.dtype) for n, w in TinyDenoiser().weights().items()}
    for name, shape in changes.items():
        key = name.replace("_", ".")
        if shape is None:
            del found[key]
        else:
            found[key] = TensorInfo(shape, torch.float32)
    return found


@pytest.mark.parametrize("kind", ["fisher", "regmean"])
def test_what_is_read_is_what_was_collected(
    kind: str, collected: Callable[..., ExpertStatistics], tmp_path: Path
) -> None:
    statistics = collected(kind)
    path = tmp_path / "new" / "low.safetensors"
    write_statistics(statistics, path)
    found = read_statistics(path, kind=statistics.description.kind, layout=layout())
    assert found.description == statistics.description
    assert set(found.tensors) == set(statistics.tensors)
    for name in (*statistics.tensors, "another"):
        first, second = statistics.read(name), found.read(name)
        assert (first is None) == (second is None)
        assert first is None or second is None or torch.equal(first, second)
    assert set(load_file(path)) == set(statistics.tensors)
    assert [entry.name for entry in path.parent.iterdir()] == ["low.safetensors"]


def test_the_same_statistics_are_the_same_bytes(
    collected: Callable[..., ExpertStatistics], tmp_path: Path
) -> None:
    for name in ("a", "b"):
        write_statistics(collected(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_kind_is_refused(
    collected: Callable[..., ExpertStatistics], tmp_path: Path
) -> None:
    write_statistics(collected("regmean"), tmp_path / "s")
    with pytest.raises(
        MismatchError,
        match=r"s holds regmean statistics; fisher is needed\. Fix: deme statistics tiny 0 --kind",
    ):
        read_statistics(tmp_path / "s", kind="fisher")


def test_statistics_of_another_architecture_are_refused(
    collected: Callable[..., ExpertStatistics], tmp_path: Path
) -> None:
    write_statistics(collected("fisher"), tmp_path / "f")
    write_statistics(collected("regmean"), tmp_path / "r")
    for name, changes, reason in (
        ("f", {"extra_weight": (2, 2)}, "extra.weight: no statistics"),
        ("f", {"down_bias": None}, "down.bias: not in the base"),
        ("f", {"down_bias": (5,)}, "down.bias: shape (4,), not (5,)"),
        ("r", {"mix_weight": None}, "mix.weight: not in the base"),
        ("r", {"down_weight": (4, 2, 3, 3)}, "down.weight: shape (9, 9), not (18, 18)"),
    ):
        with pytest.raises(MismatchError, match=re.escape(reason)):
            read_statistics(tmp_path / name, layout=layout(**changes))
    read_statistics(tmp_path / "r", layout=layout(extra_weight=(2, 2)))  # the mean, then


def test_a_truncated_file_is_named_when_it_is_opened(
    collected: Callable[..., ExpertStatistics], tmp_path: Path
) -> None:
    path = tmp_path / "s"
    write_statistics(collected(), path)
    whole = path.read_bytes()
    for length in (0, 5, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(StorageError, match="s is truncated or not a safetensors file"):
            read_statistics(path)


def test_files_of_something_else_are_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"There are no statistics at .*nothing"):
        read_statistics(tmp_path / "nothing")
    save_file({"w": torch.ones(2)}, tmp_path / "weights")
    with pytest.raises(StorageError, match="weights holds no statistics of this version of deme"):
        read_statistics(tmp_path / "weights")
    save_file({"w": torch.ones(2)}, tmp_path / "other", {"deme_statistics": '{"kind": "hessian"}'})
    with pytest.raises(StorageError, match="other holds no statistics of this version of deme"):
        read_statistics(tmp_path / "other")


def test_a_failed_write_leaves_what_was_there(
    collected: Callable[..., ExpertStatistics], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    write_statistics(collected(), path)
    before = path.read_bytes()

    def fail(tensors: object, target: Path, metadata: object) -> None:
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "save_file", fail)
    with pytest.raises(StorageError, match=r"No space left while writing .*s"):
        write_statistics(collected(), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["s"]
