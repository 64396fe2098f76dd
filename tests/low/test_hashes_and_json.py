import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deme.errors import StorageError
from deme.files import (
    free_bytes,
    hash_bytes,
    hash_file,
    hash_tree,
    hash_value,
    read_json,
    write_json,
)


def test_json_comes_back_and_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    value = {"ü": [1, 2.5, None, True], "a": {"b": 1e-300, "c": 0.1 + 0.2}}
    write_json(tmp_path / "one.json", value)
    write_json(tmp_path / "two.json", json.loads(json.dumps(value)))
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert read_json(tmp_path / "one.json") == value
    assert "ü" in (tmp_path / "one.json").read_text("utf-8")


def test_a_value_that_is_not_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", object())
    assert read_json(tmp_path / "x.json") == 1 and [path.name for path in tmp_path.iterdir()] == [
        "x.json"
    ]


@pytest.mark.parametrize("content", [b'{"a": ', b"", b"\xff\xfe"])
def test_damaged_json_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"x\.json is not valid JSON .* Fix: restore it"):
        read_json(tmp_path / "x.json")


@pytest.mark.parametrize("read", [read_json, hash_file, hash_tree])
def test_a_missing_file_is_named(tmp_path: Path, read: Callable[[Path], object]) -> None:
    with pytest.raises(StorageError, match=r"Cannot read .*absent: No such file"):
        read(tmp_path / "absent")


def test_a_trees_hash_is_of_names_and_contents_and_not_of_their_order(tmp_path: Path) -> None:
    files = {"b/c": "1", "b/a": "2", "a": "3", "b.txt": "4", "a-b": "5"}
    for folder, order in (("x", list(files)), ("y", list(reversed(files)))):
        for name in order:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[name])
    digest = hash_tree(tmp_path / "x")
    assert digest == hash_tree(tmp_path / "y")
    (tmp_path / "y" / "README.md").write_text("card")
    assert hash_tree(tmp_path / "y") != digest
    assert hash_tree(tmp_path / "y", leaving_out=["README.md"]) == digest
    (tmp_path / "x" / "a").rename(tmp_path / "x" / "z")
    assert hash_tree(tmp_path / "x") != digest
    (tmp_path / "x" / "z").rename(tmp_path / "x" / "a")
    (tmp_path / "x" / "a").write_text("4")
    assert hash_tree(tmp_path / "x") != digest


def test_hashes_are_sha_256(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert hash_bytes(b"a", b"bc") == expected
    assert hash_file(tmp_path / "abc") == expected == hash_tree(tmp_path / "abc")


def test_a_values_hash_ignores_the_order_of_keys() -> None:
    assert hash_value({"a": 1, "b": (2, 3)}) == hash_value({"b": [2, 3], "a": 1})
    assert hash_value({"a": 1}) != hash_value({"a": 1.5})


def test_free_space_of_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    expected = shutil.disk_usage(tmp_path).free
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(expected, rel=0.2)
    assert free_bytes(Path("not-there-yet")) > 0
