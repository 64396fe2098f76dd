"""What the report's section on the search shows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..analysis import SearchRecord
from .evidence import PRETRAINED
from .figures import Picture
from .search_figures import search_landscape, search_pictures
from .search_text import SearchWords, objective_title


@dataclass(frozen=True)
class PointRow:
    """A point that every search evaluates, or the winner.

    Attributes:
        title: what a reader calls it.
        value: on the search's noise.
        difference: winner minus it; empty for the winner.
        fresh: on fresh noise; empty where it was not scored there.
        is_winner: whether it is what was merged.
    """

    title: str
    value: str
    difference: str
    fresh: str
    is_winner: bool


@dataclass(frozen=True)
class SearchSection:
    """The section's content.

    Attributes:
        sentences: what was searched, and what came of it.
        objective: what a reader calls the values.
        beside: names and values that were searched beside the weights.
        rows: anchors, and the winner last; empty where the record has no anchors.
        landscape: the objective over pairs of weights.
        pictures: the other figures.
        protocol: how values were measured, in a line.
    """

    sentences: Sequence[str]
    objective: str
    beside: Sequence[tuple[str, str]]
    rows: Sequence[PointRow]
    landscape: Picture
    pictures: Sequence[Picture]
    protocol: str


def search_section(
    search: Mapping[str, Any], evaluated: float | None, said: Collection[str]
) -> SearchSection:
    """Reads a search's result into a section.

    Args:
        search: what ``search/result.json`` holds.
        evaluated: the winner's mean Fréchet distance on the evaluation's noise, where measured.
        said: sentences that stand elsewhere on the page, and are not repeated.

    Raises:
        DataError: it is not what deme writes, or holds no finite value.
    """
    record = SearchRecord.from_mapping(search)
    words = SearchWords(record)
    objective = objective_title(record)
    sentences = [words.searched(), words.optimism(), words.against_pretrained()]
    if evaluated is not None and record.objective == "frechet":
        sentences.append(
            "On the evaluation's own noise and images it measures "
            f"{words.number(evaluated)}: see the arms above."
        )
    return SearchSection(
        sentences=tuple(text for text in sentences if text and text not in said),
        objective=objective,
        beside=[(name, f"{value:.4g}") for name, value in record.beside_weights],
        rows=_rows(record, words) if record.anchors else [],
        landscape=search_landscape(search),
        pictures=search_pictures(search, objective),
        protocol=record.protocol,
    )


def _rows(record: SearchRecord, words: SearchWords) -> list[PointRow]:
    rows = [
        PointRow(
            item.anchor,
            words.number(item.value),
            words.signed(record.value - item.value) if item.value == item.value else "",
            _fresh_of(item.anchor, record, words),
            is_winner=False,
        )
        for item in record.anchors
    ]
    fresh = "" if record.fresh is None else words.number(record.fresh.value)
    return [*rows, PointRow("searched", words.number(record.value), "", fresh, is_winner=True)]


def _fresh_of(anchor: str, record: SearchRecord, words: SearchWords) -> str:
    """Of the anchors only the pretrained model is scored on fresh noise."""
    if anchor != PRETRAINED or record.fresh is None or record.fresh.pretrained is None:
        return ""
    return words.number(record.fresh.pretrained)
