import errno
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from deme.errors import ConfigError, RunLockedError, StorageError
from deme.files import (
    atomic_path,
    remove,
    sole_writer,
    storage_errors,
    sweep_partial,
    write_json,
)


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_file_and_a_folder_appear_when_complete(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "new" / "file") as partial:
        partial.write_text("text")
        assert names(tmp_path / "new") == [partial.name]
    with atomic_path(tmp_path / "new" / "folder") as partial:
        partial.mkdir()
        (partial / "inner").write_text("inner")
    assert names(tmp_path / "new") == ["file", "folder", "folder/inner"]


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), ConfigError("x")])
def test_after_any_exception_the_target_is_as_it_was(tmp_path: Path, error: BaseException) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "kept").write_text("kept")
    for target in (tmp_path / "old", tmp_path / "new"):
        with pytest.raises(type(error)), atomic_path(target) as partial:
            partial.mkdir()
            (partial / "half").write_text("half")
            raise error
    assert names(tmp_path) == ["old", "old/kept"]


def test_an_existing_file_or_folder_is_replaced_whole(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "stale").write_text("stale")
    (tmp_path / "file").write_text("stale")
    with atomic_path(tmp_path / "folder") as partial:
        partial.mkdir()
        (partial / "fresh").write_text("fresh")
    with atomic_path(tmp_path / "file") as partial:
        partial.write_text("fresh")
    assert names(tmp_path) == ["file", "folder", "folder/fresh"]
    assert (tmp_path / "file").read_text() == "fresh"


def test_a_folder_whose_replacement_fails_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("old")
    rename = Path.rename

    def refuse_the_second(self: Path, target: Path) -> Path:
        if target.name == "folder" and not self.name.startswith(".replaced-"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr("deme.files.exchange", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", refuse_the_second)
    with pytest.raises(StorageError, match="Input/output"), atomic_path(tmp_path / "folder") as new:
        new.mkdir()
    assert names(tmp_path) == ["folder", "folder/old"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            errno.ENOSPC,
            "No space left while writing {}. Fix: free space or choose another folder with "
            "--output, then repeat the command; finished work is kept.",
        ),
        (
            errno.EDQUOT,
            "No space left while writing {}. Fix: free space or choose another folder with "
            "--output, then repeat the command; finished work is kept.",
        ),
        (
            errno.EACCES,
            "No permission to write {}. Fix: choose a writable folder with --output.",
        ),
        (errno.EROFS, "No permission to write {}. Fix: choose a writable folder with --output."),
        (errno.EPERM, "No permission to write {}. Fix: choose a writable folder with --output."),
        (errno.EIO, "Cannot write {}: Input/output error."),
    ],
)
@pytest.mark.parametrize("place", ["mkdir", "write", "rename"])
def test_storage_errors_say_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, expected: str, place: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    target = tmp_path / "folder" / "file"
    if place == "mkdir":
        monkeypatch.setattr(Path, "mkdir", fail)
    elif place == "rename":
        monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageError) as raised, atomic_path(target) as partial:
        partial.write_text("half")
        if place == "write":
            fail()
    assert str(raised.value) == expected.format(target)
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(("code", "word"), [(28, "No space left"), (13, "No permission")])
def test_safetensors_own_errors_are_understood(tmp_path: Path, code: int, word: str) -> None:
    from safetensors import SafetensorError

    text = f"Error while serializing: I/O error: {os.strerror(code)} (os error {code})"
    with pytest.raises(StorageError, match=f"^{word}"), storage_errors(tmp_path / "x"):
        raise SafetensorError(text)


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file of this process may grow beyond 20 000 bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(10**5))


@pytest.mark.usefixtures("little_room")
@pytest.mark.parametrize(
    ("write", "expected"),
    [
        (save_array, "^No space left while writing .*target"),
        (
            lambda path: save_file({"a": torch.zeros(10**5)}, path),
            "^Cannot write .*target: .*File too large",
        ),
        (lambda path: path.write_bytes(bytes(10**5)), "^Cannot write .*target: File too large"),
    ],
    ids=["numpy", "safetensors", "plain"],
)
def test_a_real_lack_of_room_is_reported_by_every_writer(
    tmp_path: Path, write: Callable[[Path], object], expected: str
) -> None:
    with (
        pytest.raises(StorageError, match=expected),
        atomic_path(tmp_path / "target") as partial,
    ):
        write(partial)
    assert names(tmp_path) == []


def test_a_file_that_cannot_be_read_is_not_called_unwritable(tmp_path: Path) -> None:
    absent = tmp_path / "elsewhere" / "source"
    with pytest.raises(StorageError) as raised, atomic_path(tmp_path / "out" / "x") as partial:
        shutil.copyfile(absent, partial)
    assert str(raised.value) == (
        f"Cannot write {tmp_path / 'out' / 'x'}: {absent}: No such file or directory."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    for target in (folder / "file", folder / "deeper" / "file"):
        with pytest.raises(StorageError, match=f"No permission to write {target}"):
            write_json(target, 1)


def test_a_parent_that_is_a_file_is_an_error_and_not_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="Cannot write"):
        write_json(tmp_path / "file" / "x.json", 1)
    assert (tmp_path / "file").read_text() == "x"


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "kept").write_text("kept")
    with pytest.raises(StorageError, match="Is a directory"):
        write_json(tmp_path / "x", 1)
    assert names(tmp_path) == ["x", "x/kept"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_safetensors_files_have_the_permissions_of_plain_files(
    tmp_path: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        with atomic_path(tmp_path / "one.safetensors") as partial:
            save_file({"a": torch.zeros(1)}, partial)
        with atomic_path(tmp_path / "folder") as partial:
            partial.mkdir()
            save_file({"a": torch.zeros(1)}, partial / "two.safetensors")
    finally:
        os.umask(before)
    for path in (tmp_path / "one.safetensors", tmp_path / "folder" / "two.safetensors"):
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert load_file(path)["a"].tolist() == [0.0]
    assert names(tmp_path) == ["folder", "folder/two.safetensors", "one.safetensors"]


def test_sweeping_removes_what_killed_processes_left_and_nothing_else(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from deme.files import atomic_path
with atomic_path(Path(sys.argv[1]) / "deep" / "target") as partial:
    partial.mkdir()
    (partial / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == -9
    (tmp_path / ".tmpVI0dEa").write_text("what safetensors leaves")
    kept = ["deep", "deep/mine", "deep/partial-x", ".tmp"]
    for name in kept[1:]:
        (tmp_path / name).write_text("mine")
    assert any(".partial-target-" in name for name in names(tmp_path))
    sweep_partial(tmp_path)
    assert names(tmp_path) == sorted(kept)
    sweep_partial(tmp_path / "absent")


def test_removing_takes_the_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    for name in ("link", "absent"):
        remove(tmp_path / name)
    assert names(tmp_path) == ["real", "real/file"]
    remove(tmp_path / "real")
    assert names(tmp_path) == []


def test_a_sole_writer_sweeps_its_own_target_alone(tmp_path: Path) -> None:
    own, other = tmp_path / ".partial-merged-0123abcd", tmp_path / ".partial-merged-2-0123abcd"
    for left in (own, other, tmp_path / ".partial-merged-0123abcd-probe"):
        left.mkdir()
    with sole_writer(tmp_path / "merged"):
        assert [path.name for path in tmp_path.iterdir()] == [other.name]


def test_a_second_writer_is_refused_and_a_later_one_is_not(tmp_path: Path) -> None:
    with (
        sole_writer(tmp_path / "merged"),
        pytest.raises(RunLockedError, match="Another process is writing"),
        sole_writer(tmp_path / "merged"),
    ):
        pass
    with sole_writer(tmp_path / "merged"):
        pass


@pytest.mark.parametrize("sweep", ["sole_writer", "sweep_partial"])
def test_a_replacement_that_was_killed_half_way_is_put_back(tmp_path: Path, sweep: str) -> None:
    for name, new in (("a", True), ("b", False)):
        old = tmp_path / f".replaced-{name}-0123abcd"
        old.mkdir()
        (old / "version").write_text("old")
        if new:
            (tmp_path / name).mkdir()
            (tmp_path / name / "version").write_text("new")
    if sweep == "sweep_partial":
        sweep_partial(tmp_path)
    else:
        for name in ("a", "b"):
            with sole_writer(tmp_path / name):
                pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert [(tmp_path / name / "version").read_text() for name in "ab"] == ["new", "old"]


@pytest.mark.parametrize("can", [True, False])
def test_a_folder_is_replaced_whether_the_system_can_exchange_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can: bool
) -> None:
    if not can:
        monkeypatch.setattr("deme.files.exchange", lambda one, other: False)
    for version in ("old", "new"):
        with atomic_path(tmp_path / "folder") as partial:
            partial.mkdir()
            (partial / "version").write_text(version)
    assert (tmp_path / "folder" / "version").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
