"""The search's memory: one line for each evaluated candidate, appended as it is known."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from ..files import atomic_path, storage_errors
from .space import Candidate


class Journal:
    """A JSON-lines file of candidates and values.

    A last line cut short by a kill is dropped, and so is all that follows a damaged line.

    Args:
        path: the file.
        key: what else decides the values; a journal of another key is started anew.

    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self.key = key
        self.values: dict[Candidate, float] = {}
        self._read()

    def record(self, candidate: Candidate, value: float) -> None:
        """Appends one evaluation."""
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(f"{_line(candidate, value)}\n")
        self.values[candidate] = value

    def _read(self) -> None:
        entries = _complete_lines(self.path)
        if entries and entries[0] == {"key": self.key}:
            for entry in itertools.takewhile(_is_evaluation, entries[1:]):
                self.values[tuple(entry["weights"])] = entry["value"]
        lines = [json.dumps({"key": self.key})]
        lines += [_line(candidate, value) for candidate, value in self.values.items()]
        with atomic_path(self.path) as partial:
            partial.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def _line(candidate: Candidate, value: float) -> str:
    return json.dumps({"weights": candidate, "value": value})


def _is_evaluation(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and set(entry) == {"weights", "value"}
        and isinstance(entry["weights"], list)
        and isinstance(entry["value"], float | int)
    )


def _complete_lines(path: Path) -> list[Any]:
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text("utf-8", errors="replace").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries
