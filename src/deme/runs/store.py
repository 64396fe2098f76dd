"""The run's folder: artifacts that are complete or absent, and what each was made from."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import filelock

from ..errors import RunLockedError
from ..files import atomic_path, hash_tree, read_json, storage_errors, sweep_partial, write_json

NOT_HASHED = ("README.md",)
"""Files that are added to an artifact later: the model card needs the evaluation."""


class Named(Protocol):
    """A configuration that knows what of it decides the result: a run's, a pretraining's."""

    @property
    def name(self) -> str:
        """Names the folder; changes no result."""
        ...

    def digest(self) -> str:
        """A short hash of what decides the result."""
        ...

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        """All of it, for ``spec.yaml``."""
        ...


class RunStore:
    """A folder named by its meaning: ``<output>/<name>-<hash of what decides the result>``.

    Args:
        output: the folder that holds runs.
        spec: the run's configuration.

    """

    def __init__(self, output: Path, spec: Named) -> None:
        self.spec = spec
        self.path = output / f"{spec.name}-{spec.digest()}"
        self.cache = output / "cache"  # decoded images, named by content: runs share them

    def prepare(self) -> None:
        """Makes the folder, sweeps what killed processes left, writes the spec."""
        import yaml

        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        spec = yaml.safe_dump(self.spec.model_dump(mode="json"), sort_keys=False, width=100)
        with atomic_path(self.path / "spec.yaml") as partial:
            partial.write_text(spec, "utf-8")

    def sweep(self) -> None:
        """Removes half-written files; only while holding the run's lock."""
        sweep_partial(self.path)

    def sweep_where_idle(self) -> None:
        """The same where no process holds any lock of the run; else what is there is in use."""
        names = [path.stem for path in sorted((self.path / "locks").glob("*.lock"))]
        with contextlib.ExitStack() as held:
            try:
                for name in dict.fromkeys(["run", *names]):
                    held.enter_context(self.lock(name))
            except RunLockedError:
                return
            self.sweep()

    @contextlib.contextmanager
    def lock(self, name: str = "run", *, wait: bool = False) -> Iterator[None]:
        """Keeps a second process out. The system releases it when the process ends, however.

        Args:
            name: what is locked.
            wait: until another process that holds it is done, and do not refuse.

        Raises:
            RunLockedError: another process holds it.

        """
        path = self.path / "locks" / f"{name}.lock"
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, timeout=-1 if wait else 0)
        holder = path.with_suffix(".pid")
        with storage_errors(path), contextlib.suppress(filelock.Timeout):
            lock.acquire()
        if not lock.is_locked:
            pid = holder.read_text() if holder.is_file() else "unknown"
            raise RunLockedError(
                f"Another process (pid {pid}) works on {self.path.name} ({name})",
                fix="wait for it, or stop it; or choose another folder with --output",
            )
        try:
            holder.write_text(str(os.getpid()))
            yield
        finally:
            holder.unlink(missing_ok=True)
            lock.release()

    def is_complete(self, artifact: str, made_from: Mapping[str, Any]) -> bool:
        """Whether an artifact is there, unaltered, and made from exactly this."""
        entry = self._manifest().get(artifact)
        path = self.path / artifact
        if entry is None or entry["made_from"] != dict(made_from) or not path.exists():
            return False
        return entry["sha256"] == hash_tree(path, leaving_out=NOT_HASHED)

    def complete(self, artifact: str, made_from: Mapping[str, Any]) -> None:
        """Notes that an artifact is complete, with its hash and what it was made from."""
        digest = hash_tree(self.path / artifact, leaving_out=NOT_HASHED)
        path = self.path / "locks" / "manifest.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(path, timeout=60):
            manifest = self._manifest()
            manifest[artifact] = {"sha256": digest, "made_from": dict(made_from)}
            write_json(self.path / "manifest.json", {"artifacts": dict(sorted(manifest.items()))})

    def digest_of(self, artifact: str) -> str:
        """The hash that the manifest has for a complete artifact."""
        return self._manifest()[artifact]["sha256"]

    def _manifest(self) -> dict[str, Any]:
        path = self.path / "manifest.json"
        return read_json(path)["artifacts"] if path.is_file() else {}
