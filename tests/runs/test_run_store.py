"""The run's folder: complete or absent, unaltered or made again, one process at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deme.errors import RunLockedError, StorageError
from deme.runs import RunSpec, RunStore

SPEC = RunSpec.model_validate({"model": "digits", "data": "digits", "name": "mine"})


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    store = RunStore(tmp_path, SPEC)
    store.prepare()
    return store


def make(store: RunStore, artifact: str, text: str = "x") -> None:
    path = store.path / artifact
    path.mkdir(parents=True)
    (path / "weights").write_text(text)
    store.complete(artifact, {"base": "1"})


def test_the_folder_says_its_meaning(store: RunStore) -> None:
    assert store.path.name == f"mine-{SPEC.digest()}"
    written = yaml.safe_load((store.path / "spec.yaml").read_text())
    assert RunSpec.model_validate(written) == SPEC


def test_complete_only_if_made_from_the_same(store: RunStore) -> None:
    make(store, "experts/a")
    assert store.is_complete("experts/a", {"base": "1"})
    assert not store.is_complete("experts/a", {"base": "2"})
    assert not store.is_complete("experts/b", {"base": "1"})


def test_an_altered_artifact_is_not_complete(store: RunStore) -> None:
    make(store, "merged")
    (store.path / "merged" / "weights").write_text("y")
    assert not store.is_complete("merged", {"base": "1"})


def test_a_model_card_does_not_alter_an_artifact(store: RunStore) -> None:
    make(store, "merged")
    (store.path / "merged" / "README.md").write_text("card")
    assert store.is_complete("merged", {"base": "1"})


def test_two_locks_of_one_name(store: RunStore) -> None:
    with store.lock(), pytest.raises(RunLockedError, match="Another process"), store.lock():
        pass
    with store.lock("a"), store.lock("b"):
        pass
    with store.lock():
        pass


def test_sweeping_leaves_what_is_whole(store: RunStore) -> None:
    make(store, "merged")
    (store.path / "experts").mkdir()
    (store.path / "experts" / ".partial-a-1234").mkdir()
    store.sweep()
    assert store.is_complete("merged", {"base": "1"})
    assert not list(store.path.rglob(".partial-*"))


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(StorageError):
        RunStore(tmp_path / "runs", SPEC).prepare()
