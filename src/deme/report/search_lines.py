"""A search's outcome for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..analysis import SearchRecord
from .numbers import MINUS, plain
from .search_text import SearchWords, objective_name, plural


def search_line(record: SearchRecord) -> str:
    """One line: ``search: frechet 31.2 on its noise, 32.0 on fresh noise (optimism +0.8), …``."""
    return f"search: {_scores(SearchWords(record))}, {SearchWords(record).cost}"


def search_lines(result: Mapping[str, Any]) -> list[str]:
    """The weights, the score with its optimism, the cost, and what the anchors score.

    Numbers have the minus sign of the keyboard, so that weights can be pasted into a command.

    Args:
        result: what ``search/result.json`` holds.

    Raises:
        DataError: it is not what deme writes.

    """
    record = SearchRecord.from_mapping(result)
    words = SearchWords(record)
    width = max(map(len, [*record.experts, *(name for name, _ in record.beside_weights)]))
    lines = [
        f"{name:<{width}}  {weight if isinstance(weight, str) else f'{weight:+.4f}'}"
        for name, weight in zip(record.experts, record.weights, strict=True)
    ]
    lines += [f"{name:<{width}}  {value:.4g}" for name, value in record.beside_weights]
    lines += [_scores(words)]
    if record.against_zero is not None:
        difference, low, high = map(words.signed, record.against_zero)
        lines.append(f"against pretrained {difference} [{low}, {high}], paired")
    sets = f"{words.cost} of {record.images} images" if record.images else words.cost
    lines.append(f"{sets}, {plural(len(record.evaluations), 'evaluation')}")
    if record.anchors:
        lines += ["anchors", *_anchors(record, words)]
    return [line.replace(MINUS, "-").replace("\u202f", "") for line in lines]


def _scores(words: SearchWords) -> str:
    record = words.record
    text = f"{objective_name(record)} {words.number(record.value)} on its noise"
    if record.fresh is None:
        return f"{text}, not scored on fresh noise"
    optimism = words.signed(record.fresh.optimism)
    return f"{text}, {words.number(record.fresh.value)} on fresh noise (optimism {optimism})"


def _anchors(record: SearchRecord, words: SearchWords) -> list[str]:
    values = [plain(item.value, words.digits) for item in record.anchors]
    titles = [item.anchor.replace("–", "-") for item in record.anchors]
    long, wide = max(map(len, titles)), max(map(len, values))
    pairs = zip(titles, values, strict=True)
    return [f"  {title:<{long}}  {value:>{wide}}" for title, value in pairs]
