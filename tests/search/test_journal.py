import errno
import json
import math
import os
from pathlib import Path

import pytest

from deme.errors import StorageError
from deme.search import Candidate, Journal

ENTRIES: dict[Candidate, float] = {
    (0.0, 0.0): 1.25,
    (0.1, -0.3): 0.1 + 0.2,
    (1.0, 1e-10): math.inf,
    (0.5, 0.5): 2.0,
}


def write(path: Path, key: str = "key") -> Path:
    journal = Journal(path, key)
    for candidate, value in ENTRIES.items():
        journal.record(candidate, value)
    return path


def test_what_was_recorded_comes_back_exactly_and_in_order(tmp_path: Path) -> None:
    path = write(tmp_path / "new" / "journal.jsonl")
    again = Journal(path, "key")
    assert list(again.values.items()) == list(ENTRIES.items())


def test_a_file_cut_at_any_byte_loses_the_cut_line_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl")
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        complete = whole[:length].count(b"\n")
        whole_lines = complete + (whole[length : length + 1] == b"\n")  # cut before the newline
        journal = Journal(path, "key")
        assert list(journal.values.items()) == list(ENTRIES.items())[: max(whole_lines - 1, 0)]
        for candidate, value in ENTRIES.items():
            if candidate not in journal.values:
                journal.record(candidate, value)
        assert path.read_bytes() == whole
        assert [child.name for child in tmp_path.iterdir()] == ["journal.jsonl"]


def test_another_key_starts_anew(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl")
    assert Journal(path, "other").values == {}
    assert Journal(path, "key").values == {}


@pytest.mark.parametrize(
    "damaged",
    ["garbage", "3", "{}", '{"weights": 3, "value": 1}', '{"weights": [0.5]}', "\ufffd", "null"],
)
def test_what_follows_a_damaged_line_is_dropped(tmp_path: Path, damaged: str) -> None:
    path = write(tmp_path / "journal.jsonl")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:3], damaged, *lines[3:]]) + "\n", "utf-8")
    assert list(Journal(path, "key").values) == list(ENTRIES)[:2]


def test_bytes_that_are_no_text_are_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl")
    path.write_bytes(path.read_bytes() + b"\xff\x00\xfe")
    assert list(Journal(path, "key").values) == list(ENTRIES)


def test_each_line_is_json_of_its_own(tmp_path: Path) -> None:
    path = write(tmp_path / "journal.jsonl")
    first, second = map(json.loads, path.read_text().splitlines()[:2])
    assert first == {"key": "key"} and second == {"weights": [0.0, 0.0], "value": 1.25}


def test_no_space_is_reported_and_what_was_known_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "journal.jsonl")
    journal = Journal(path, "key")

    def fill_the_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "open", fill_the_disk)
    with pytest.raises(StorageError, match="No space left while writing"):
        journal.record((0.9, 0.9), 1.0)
    assert (0.9, 0.9) not in journal.values
    monkeypatch.undo()
    assert list(Journal(path, "key").values) == list(ENTRIES)
