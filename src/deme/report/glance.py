"""What a reader sees first: the verdict and a few figures."""

from __future__ import annotations

from dataclasses import dataclass

from ..analysis import SearchRecord
from .evidence import MERGED, PRETRAINED, Evidence, metric_title
from .numbers import count, percent
from .run_folder import RunFolder
from .search_text import SearchWords, objective_title
from .verdict import Verdict, difference_text, judge, verdict


@dataclass(frozen=True)
class Tile:
    """A figure at a glance: a value, what it is, and whether it is good news."""

    value: str
    label: str
    outcome: str = ""


def run_verdict(run: RunFolder) -> Verdict | None:
    """The evaluation's judgement; before there is one, the search's own; else None."""
    if run.evidence is not None:
        return verdict(run.evidence)
    if run.search is not None:
        return SearchWords(SearchRecord.from_mapping(run.search)).verdict()
    return None


def run_tiles(run: RunFolder) -> list[Tile]:
    """Figures that go with :func:`run_verdict`."""
    if run.evidence is not None:
        return _tiles(run.evidence)
    if run.search is not None:
        return _search_tiles(SearchRecord.from_mapping(run.search))
    return []


def _search_tiles(record: SearchRecord) -> list[Tile]:
    words, fresh = SearchWords(record), record.fresh
    title = objective_title(record)
    if fresh is None:
        tiles = [Tile(words.number(record.value), f"{title}, on the search's noise")]
    else:
        tiles = [
            Tile(words.number(fresh.value), f"{title}, fresh noise"),
            Tile(words.signed(fresh.optimism), "optimism: fresh minus search score"),
        ]
    if record.against_zero is not None:
        difference = words.signed(record.against_zero[0])
        tiles.append(Tile(difference, "against pretrained, paired", words.outcome))
    sets = f"sample sets of {count(record.images)} images" if record.images else "sample sets"
    return [*tiles, Tile(f"{record.cost:.4g}", sets)]


def _tiles(evidence: Evidence) -> list[Tile]:
    detector, metric = evidence.main
    tiles = []
    difference = evidence.difference(detector, metric, PRETRAINED)
    if difference is not None:
        shown = difference_text(evidence, detector, metric, PRETRAINED)
        outcome = judge(difference, metric, len(evidence.seeds))
        label = f"{metric_title(metric)}, merged minus pretrained"
        tiles.append(Tile(shown, label, outcome))
        excess = evidence.excess_of_main()
        if "reduction" in excess and excess.get(PRETRAINED, 0) > 0:
            reduction = excess["reduction"]
            sign = "−" if reduction > 0 else "+"
            label = "excess over the floor"
            tiles.append(Tile(f"{sign}{percent(abs(reduction))}", label, outcome))
    if merged := evidence.arms.get(MERGED):
        before = evidence.arms.get(PRETRAINED)
        same = before is not None and before.parameters == merged.parameters
        label = "parameters at inference" + (", as pretrained" if same else "")
        tiles.append(Tile(count(merged.parameters), label))
    seeds = len(evidence.seeds)
    label = f"images for each of {seeds} noise seeds" if seeds > 1 else "images, one noise seed"
    tiles.append(Tile(count(evidence.images), label))
    return tiles
