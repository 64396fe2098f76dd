from __future__ import annotations

import json
import pickle
import re
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from deme.errors import ModelError, StorageError
from deme.merge.sources.tensor_files import open_shards, open_tensor_file

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool)


def tensors(seed: int = 0) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return {f"{dtype}": torch.randn(3, 4, generator=draws).to(dtype) for dtype in DTYPES} | {
        "scalar": torch.tensor(2.5),
        "empty": torch.empty(0, 3),
    }


def anonymous_mib() -> float:
    status = Path("/proc/self/status").read_text()
    found = re.search(r"RssAnon:\s+(\d+)", status)
    assert found is not None
    return int(found[1]) / 1024


def write_header(path: Path, header: object, data: bytes = b"") -> Path:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(encoded).to_bytes(8, "little") + encoded + data)
    return path


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt", ".ckpt"])
@pytest.mark.parametrize("nested", [False, True])
def test_every_format_gives_the_tensors_as_stored(
    tmp_path: Path, suffix: str, nested: bool
) -> None:
    expected, file = tensors(), tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(expected, file)
    else:
        torch.save({"state_dict": expected, "epoch": 3} if nested else expected, file)
    source = open_tensor_file(file)
    assert list(source.layout) == sorted(expected)
    assert source.files == (file,)
    for name, tensor in expected.items():
        assert source.layout[name].shape == tensor.shape
        assert source.layout[name].dtype == tensor.dtype
        assert source.read(name).dtype == tensor.dtype
        assert torch.equal(source.read(name), tensor)


def test_a_checkpoint_of_old_torch_is_read(tmp_path: Path) -> None:
    file = tmp_path / "old.ckpt"
    torch.save(tensors(), file, _use_new_zipfile_serialization=False)
    assert torch.equal(open_tensor_file(file).read("scalar"), torch.tensor(2.5))


def test_a_transposed_tensor_of_a_checkpoint_comes_contiguous(tmp_path: Path) -> None:
    stored = torch.arange(6.0).reshape(2, 3).T
    torch.save({"weight": stored}, tmp_path / "weights.pt")
    found = open_tensor_file(tmp_path / "weights.pt").read("weight")
    assert found.is_contiguous()
    assert torch.equal(found, stored)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells memory there")
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_opening_and_reading_take_no_memory_of_their_own(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"weights{suffix}"
    state = {f"{i}": torch.zeros(2**21) for i in range(4)}  # 32 MiB
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    del state
    before = anonymous_mib()
    source = open_tensor_file(file)
    held = [source.read(name) for name in source.layout]
    assert sum(float(tensor.sum()) for tensor in held) == 0.0
    assert anonymous_mib() - before < 8


def test_several_threads_read_the_same_file(tmp_path: Path) -> None:
    expected = {f"{i:03d}": torch.full((500,), float(i)) for i in range(100)}
    save_file(expected, tmp_path / "weights.safetensors")
    source = open_tensor_file(tmp_path / "weights.safetensors")
    wrong: list[str] = []

    def read() -> None:
        wrong.extend(n for n, tensor in expected.items() if not torch.equal(source.read(n), tensor))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_tensors_outlive_the_source(tmp_path: Path) -> None:
    save_file({"weight": torch.arange(5.0)}, tmp_path / "weights.safetensors")
    tensor = open_tensor_file(tmp_path / "weights.safetensors").read("weight")
    (tmp_path / "weights.safetensors").unlink()
    assert tensor.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("cut", [4, 40, 2000])
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_a_truncated_file_is_named(tmp_path: Path, suffix: str, cut: int) -> None:
    file = tmp_path / f"weights{suffix}"
    state = {"weight": torch.ones(1000)}
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises((StorageError, ModelError)) as raised:
        open_tensor_file(file)
    assert str(file) in str(raised.value)
    assert "Fix: " in str(raised.value)


HOSTILE_HEADERS: dict[str, tuple[Any, bytes]] = {
    "a list": ([1, 2], b""),
    "no JSON": (b"{nope", b""),
    "overlapping tensors": ({"a": ENTRY, "b": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)),
    "bytes left over": ({"a": ENTRY}, bytes(16)),
    "a negative shape": ({"a": {**ENTRY, "shape": [-2]}}, bytes(8)),
    "an endless shape": ({"a": {**ENTRY, "shape": [2**40, 2**40]}}, bytes(8)),
    "the same name twice": (b'{"a":%s,"a":%s}' % ((json.dumps(ENTRY).encode(),) * 2), bytes(16)),
    "an unknown dtype": ({"a": {**ENTRY, "dtype": "F99"}}, bytes(8)),
}


@pytest.mark.parametrize("kind", HOSTILE_HEADERS)
def test_hostile_safetensors_headers_are_refused(tmp_path: Path, kind: str) -> None:
    file = write_header(tmp_path / "hostile.safetensors", *HOSTILE_HEADERS[kind])
    with pytest.raises(StorageError, match=r"hostile\.safetensors is truncated or not a safet"):
        open_tensor_file(file)


@pytest.mark.parametrize("length", [2**62, 2**40, 200])
def test_a_header_longer_than_its_file_is_refused(tmp_path: Path, length: int) -> None:
    file = tmp_path / "long.safetensors"
    file.write_bytes(length.to_bytes(8, "little") + b"{}")
    with pytest.raises(StorageError, match=r"long\.safetensors is truncated"):
        open_tensor_file(file)


def test_a_dtype_that_torch_lacks_is_named(tmp_path: Path) -> None:
    entry = {"dtype": "F4", "shape": [4], "data_offsets": [0, 2]}
    file = write_header(tmp_path / "four.safetensors", {"a": entry}, bytes(2))
    with pytest.raises(ModelError, match="holds 'a' as F4, which cannot be merged"):
        open_tensor_file(file)


@pytest.mark.parametrize("name", ["line\nbreak", "nul\0", "", "x" * 1001, "escape\x1b[31m"])
def test_names_that_are_no_names_are_refused_and_shown_escaped(tmp_path: Path, name: str) -> None:
    torch.save({name: torch.ones(1)}, tmp_path / "odd.pt")
    with pytest.raises(ModelError) as raised:
        open_tensor_file(tmp_path / "odd.pt")
    assert "no name of a weight" in str(raised.value)
    assert str(raised.value).isprintable()


def test_names_like_paths_are_names_and_nothing_more(tmp_path: Path) -> None:
    save_file({"../../escaped": torch.ones(1), "/etc/x": torch.ones(1)}, tmp_path / "a.safetensors")
    source = open_tensor_file(tmp_path / "a.safetensors")
    assert source.read("../../escaped").tolist() == [1.0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


class Evil:
    """Creates a file where it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
@pytest.mark.parametrize("suffix", [".bin", ".ckpt", ".pt", ".pth"])
def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, suffix: str, writer: str
) -> None:
    target, file = tmp_path / "owned", tmp_path / f"evil{suffix}"
    content = {"weight": torch.ones(2), "extra": Evil(target)}
    if writer == "torch":
        torch.save(content, file)
    else:
        file.write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match="could run any code"):
        open_tensor_file(file)
    assert not target.exists()
    pickle.loads(pickle.dumps(Evil(target)))  # the same object does harm where it is unpickled
    assert target.exists()


@pytest.mark.parametrize(
    "content", [[1, 2], {"weight": 3}, {1: torch.ones(1)}, {"a": torch.ones(2).to_sparse()}]
)
def test_a_checkpoint_of_anything_else_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.bin")
    with pytest.raises(ModelError, match="not a plain dictionary of tensors"):
        open_tensor_file(tmp_path / "other.bin")


def test_other_formats_are_named(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"Choices: \.safetensors"):
        open_tensor_file(tmp_path / "model.gguf")


def shard(folder: Path, suffix: str, states: list[dict[str, torch.Tensor]], **changes: str) -> Path:
    """Writes shards and their index, in which ``changes`` moves names to other files."""
    files: dict[str, str] = {}
    for number, state in enumerate(states, 1):
        name = f"model-{number:05d}-of-{len(states):05d}.{suffix}"
        save = save_file if suffix == "safetensors" else torch.save
        save(state, folder / name)
        files |= dict.fromkeys(state, name)
    index = folder / f"model.{suffix}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": files | changes}))
    return index


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_shards_are_one_source(tmp_path: Path, suffix: str) -> None:
    index = shard(tmp_path, suffix, [{"b": torch.ones(2)}, {"a": torch.zeros(3)}])
    source = open_shards(index)
    assert list(source.layout) == ["a", "b"]
    assert len(source.files) == 2
    assert source.read("a").tolist() == [0, 0, 0]
    assert source.read("b").tolist() == [1, 1]


def test_a_missing_shard_is_named(tmp_path: Path) -> None:
    index = shard(tmp_path, "safetensors", [{"b": torch.ones(2)}, {"a": torch.zeros(3)}])
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(
        StorageError, match=r"names the shard model-00002-of-00002\.safetensors, wh"
    ):
        open_shards(index)


@pytest.mark.parametrize(
    "file", ["../secret.safetensors", "/etc/passwd", "sub/x.safetensors", "..", "", "a\0b", "C:x"]
)
def test_an_index_that_leaves_its_folder_is_refused(tmp_path: Path, file: str) -> None:
    save_file({"secret": torch.ones(1)}, tmp_path / "secret.safetensors")
    (tmp_path / "model").mkdir()
    index = shard(tmp_path / "model", "safetensors", [{"a": torch.ones(1)}], secret=file)
    with pytest.raises(ModelError, match="which is not in its own folder"):
        open_shards(index)


@pytest.mark.parametrize("content", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}'])
def test_an_index_of_another_kind_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ModelError, match=r"is not an index|not in its own folder"):
        open_shards(tmp_path / "model.safetensors.index.json")


def test_an_index_of_damaged_json_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map"')
    with pytest.raises(StorageError, match="not valid JSON"):
        open_shards(tmp_path / "model.safetensors.index.json")


def test_a_tensor_in_two_shards_is_refused(tmp_path: Path) -> None:
    both = [{"a": torch.ones(1), "b": torch.ones(1)}, {"a": torch.zeros(1)}]
    index = shard(tmp_path, "safetensors", both)
    with pytest.raises(ModelError, match="'a' is in two shards"):
        open_shards(index)


def test_a_listed_tensor_that_is_absent_is_named(tmp_path: Path) -> None:
    first = "model-00001-of-00002.safetensors"
    states = [{"a": torch.ones(1)}, {"b": torch.zeros(1)}]
    index = shard(tmp_path, "safetensors", states, b=first, c=first)
    with pytest.raises(StorageError, match=r"lists 'b' in model-00001.*\(2 such tensors\)"):
        open_shards(index)


def test_the_order_of_names_does_not_depend_on_the_file(tmp_path: Path) -> None:
    torch.save({name: torch.ones(1) for name in ("b", "c", "a")}, tmp_path / "weights.pt")
    assert list(open_tensor_file(tmp_path / "weights.pt").layout) == ["a", "b", "c"]
