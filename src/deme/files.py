"""Files that are complete or absent, named and checked by their content."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
from safetensors import SafetensorError

from .errors import RunLockedError, StorageError
from .exchange import exchange

TEMPORARY_PREFIX = ".partial-"
REPLACED_PREFIX = ".replaced-"
_UNIQUE = "[0-9a-f]" * 8
SAFETENSORS_TEMPORARY = ".tmp??????"
"""safetensors writes a file under such a name beside its own, then renames it."""


@contextlib.contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yields a path beside ``target`` to write to; renamed onto it when the block succeeds.

    Works for a file or a folder. A folder that exists at ``target`` is replaced: in one step on
    Linux; elsewhere in two, between which a killed process leaves none, and :func:`sole_writer`
    and :func:`sweep_partial` put the old one back. On any failure ``target`` stays as it was and
    the partial file is removed; what a killed process leaves behind they sweep.

    Raises:
        StorageError: no space left, or no permission to write there.

    """
    partial = target.with_name(f"{TEMPORARY_PREFIX}{target.name}-{uuid.uuid4().hex[:8]}")
    with storage_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            _share(partial)
            _replace(partial, target)
        finally:
            with contextlib.suppress(OSError):  # what went wrong first is what is reported
                remove(partial)


@contextlib.contextmanager
def sole_writer(target: Path) -> Iterator[None]:
    """Keeps other processes of this machine off ``target``, and clears what killed ones left.

    The lock lies in the system's temporary folder, so that nothing is left beside ``target``.

    Raises:
        RunLockedError: another process writes there now.

    """
    name = hash_bytes(os.fsencode(target.resolve()))[:24]
    owner = str(os.getuid()) if hasattr(os, "getuid") else "user"
    lock = filelock.FileLock(Path(tempfile.gettempdir()) / f"deme-{owner}-{name}.lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunLockedError(
            f"Another process is writing {target}",
            fix="wait for it, or choose another --output",
        ) from None
    try:
        _put_back(target.absolute().parent, glob.escape(target.name))
        partial = f"{TEMPORARY_PREFIX}{glob.escape(target.name)}-{_UNIQUE}"
        for pattern in (partial, f"{partial}-*"):
            for left in target.absolute().parent.glob(pattern):
                remove(left)
        yield
    finally:
        lock.release()


def _replace(partial: Path, target: Path) -> None:
    if not (partial.is_dir() and target.is_dir()):
        os.replace(partial, target)
    elif exchange(partial, target):
        remove(partial)  # the old one now
    else:
        old = target.with_name(f"{REPLACED_PREFIX}{target.name}-{uuid.uuid4().hex[:8]}")
        target.rename(old)
        try:
            partial.rename(target)
        except OSError:
            old.rename(target)
            raise
        remove(old)


def _put_back(folder: Path, name: str) -> None:
    """Finishes replacements that were killed: an old folder without a new one comes back."""
    for old in folder.glob(f"{REPLACED_PREFIX}{name}-{_UNIQUE}"):
        target = folder / old.name[len(REPLACED_PREFIX) : -9]
        if target.exists():
            remove(old)
        else:
            old.rename(target)


def _share(partial: Path) -> None:
    """Gives files the permissions of a plain ``open``: safetensors makes them its owner's alone."""
    files = [p for p in partial.rglob("*") if p.is_file()] if partial.is_dir() else [partial]
    private = [p for p in files if not p.is_symlink() and stat.S_IMODE(p.stat().st_mode) == 0o600]
    if private:
        probe = partial.with_name(f"{partial.name}-probe")
        probe.touch()
        mode = stat.S_IMODE(probe.stat().st_mode)
        probe.unlink()
        for path in private:
            path.chmod(mode)


@contextlib.contextmanager
def storage_errors(target: Path) -> Iterator[None]:
    """Turns the operating system's storage errors into a :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        raise _storage_error(error, target) from error
    except SafetensorError as error:  # it wraps the system's error in one of its own
        found = re.search(r"os error (\d+)", str(error))
        code = int(found[1]) if found else errno.EIO
        raise _storage_error(OSError(code, str(error)), target) from error


def _storage_error(error: OSError, target: Path) -> StorageError:
    # numpy reports a write that was cut short in words of its own, without a number
    cut_short = error.errno is None and " requested and " in str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT) or cut_short:
        return StorageError(
            f"No space left while writing {target}",
            fix="free space or choose another folder with --output, then repeat the command; "
            "finished work is kept",
        )
    if _is_elsewhere(error, target):
        return StorageError(f"Cannot write {target}: {error.filename}: {error.strerror}")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return StorageError(
            f"No permission to write {target}", fix="choose a writable folder with --output"
        )
    return StorageError(f"Cannot write {target}: {error.strerror or error}")


def _is_elsewhere(error: OSError, target: Path) -> bool:
    """Whether the error is of a file that is neither beside ``target`` nor above it."""
    if not isinstance(error.filename, str | bytes):
        return False
    path, target = Path(os.fsdecode(error.filename)).absolute(), target.absolute()
    return not (path.is_relative_to(target.parent) or target.is_relative_to(path))


def sweep_partial(folder: Path) -> None:
    """Removes what killed processes left half-written anywhere under ``folder``."""
    with storage_errors(folder):
        for old in sorted(folder.rglob(f"{REPLACED_PREFIX}*")):
            _put_back(old.parent, "*")
        for pattern in (f"{TEMPORARY_PREFIX}*", SAFETENSORS_TEMPORARY):
            for path in sorted(folder.rglob(pattern)):
                remove(path)


def remove(path: Path) -> None:
    """Removes a file or folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically; the same value, keys in the same order, gives the same bytes."""
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: Path) -> Any:
    """Reads JSON.

    Raises:
        StorageError: the file is missing or is not JSON.

    """
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise StorageError(
            f"{path} is not valid JSON ({error})",
            fix="restore it, or remove it where deme made it, and repeat the command",
        ) from error


def hash_bytes(*parts: bytes) -> str:
    """SHA-256 of the parts, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        StorageError: the file cannot be read.

    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error.strerror}") from error


def hash_tree(path: Path, leaving_out: Sequence[str] = ()) -> str:
    """SHA-256 of a file, or of a folder's relative names and contents.

    Args:
        path: the file or folder.
        leaving_out: names of files that do not count.

    Raises:
        StorageError: there is nothing at ``path``, or a file cannot be read.

    """
    if not path.is_dir():
        return hash_file(path)
    digest = hashlib.sha256()
    for file in sorted(p for p in path.rglob("*") if p.is_file() and p.name not in leaving_out):
        digest.update(f"{file.relative_to(path).as_posix()}\0{hash_file(file)}\n".encode())
    return digest.hexdigest()


def hash_value(value: Any) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hash_bytes(json.dumps(value, sort_keys=True, ensure_ascii=False).encode())


def free_bytes(path: Path) -> int:
    """Bytes free on the disk that holds ``path`` (which need not exist yet)."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free
