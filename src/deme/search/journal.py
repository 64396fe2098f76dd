"""The search's memory: one line for each evaluated candidate, appended as it is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..files import storage_errors
from .space import Candidate


class Journal:
    """A JSON-lines file of candidates and values. A last line cut short by a kill is dropped.

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
        self.values[candidate] = value
        with storage_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"weights": candidate, "value": value}) + "\n")

    def _read(self) -> None:
        entries = _complete_lines(self.path)
        kept = entries[1:] if entries and entries[0] == {"key": self.key} else []
        self.values = {tuple(item["weights"]): item["value"] for item in kept}
        with storage_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines = [{"key": self.key}, *kept]
            partial = self.path.with_name(f".partial-{self.path.name}")
            partial.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
            partial.replace(self.path)


def _complete_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    entries = []
    for line in path.read_text("utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            break
    return entries
