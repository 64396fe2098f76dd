"""Whether the merge is better, in plain words, whatever the answer is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from .evidence import MERGED, PRETRAINED, Evidence, Number, higher_is_better, metric_title
from .numbers import digits_for, percent, plain, signed_with_deviation, with_deviation

Outcome = Literal["better", "level", "worse", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """A judgement and the numbers it rests on.

    Attributes:
        outcome: of merged against pretrained, in the main metric.
        headline: one sentence.
        sentences: what it rests on.
    """

    outcome: Outcome
    headline: str
    sentences: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it as a paragraph."""
        return " ".join((self.headline, *self.sentences))


def judge(difference: Number, metric: str, seeds: int) -> Outcome:
    """Merged against another arm, from their paired difference.

    Better or worse needs a difference beyond its own deviation over the seeds; a single seed has
    no deviation and decides nothing.
    """
    if seeds < 2 or math.isnan(difference.deviation):
        return "unknown"
    if not abs(difference.mean) > difference.deviation:
        return "level"
    return "better" if (difference.mean > 0) == higher_is_better(metric) else "worse"


def difference_text(evidence: Evidence, detector: str, metric: str, arm: str) -> str:
    """``±mean ± deviation`` of merged minus ``arm``, with the digits of the arms' numbers."""
    difference = evidence.difference(detector, metric, arm)
    if difference is None:
        return ""
    digits = digits_for(evidence.numbers(detector, metric))
    return signed_with_deviation(difference, digits)


def verdict(evidence: Evidence) -> Verdict:
    """The judgement of a run."""
    detector, metric = evidence.main
    difference = evidence.difference(detector, metric, PRETRAINED)
    if difference is None or MERGED not in evidence.arms:
        return Verdict("unknown", "Merged and pretrained have not been compared yet.", ())
    outcome = judge(difference, metric, len(evidence.seeds))
    sentences = [
        _comparison(evidence, outcome),
        _excess(evidence),
        _rivals(evidence),
        _other_detectors(evidence),
        _losses(evidence),
    ]
    return Verdict(outcome, _headline(evidence, outcome), tuple(filter(None, sentences)))


def _headline(evidence: Evidence, outcome: Outcome) -> str:
    winners = _rivals_that_are(evidence, "worse")
    if outcome == "unknown":
        return "One seed cannot tell whether the merged model is better than the pretrained one."
    if outcome == "better":
        if not winners:
            return "The merged model is better than the pretrained one."
        return (
            "The merged model is better than the pretrained one, but not the best here: "
            f"{listing(winners)} {_does(winners)} better still."
        )
    plain_words = {
        "level": "The merged model cannot be told from the pretrained one",
        "worse": "The merged model is worse than the pretrained one",
    }[outcome]
    return plain_words + (f"; {listing(winners)} {_does(winners)} better." if winners else ".")


def _comparison(evidence: Evidence, outcome: Outcome) -> str:
    detector, metric = evidence.main
    merged = evidence.arms[MERGED].number(detector, metric)
    before = evidence.arms[PRETRAINED].number(detector, metric)
    if merged is None or before is None:
        return ""
    digits = digits_for(evidence.numbers(detector, metric))
    seeds = len(evidence.seeds)
    way = "higher" if higher_is_better(metric) else "lower"
    beyond = {
        "unknown": "without a deviation to judge it by",
        "level": "which is within its deviation",
    }.get(outcome, "which is beyond its deviation")
    paired = f"paired over {seeds} noise seeds" if seeds > 1 else "on the one noise seed"
    return (
        f"Its {metric_title(metric)} ({detector} features, {way} is better) is "
        f"{with_deviation(merged, digits)} against {with_deviation(before, digits)}; {paired}, "
        f"the difference is {difference_text(evidence, detector, metric, PRETRAINED)}, {beyond}."
    )


def _excess(evidence: Evidence) -> str:
    detector, metric = evidence.main
    floor = evidence.floor_of(detector, metric)
    excess = evidence.excess_of_main()
    if floor is None or MERGED not in excess or PRETRAINED not in excess:
        return ""
    digits = digits_for([floor])
    opening = f"Real images score {with_deviation(floor, digits)} against real images: the floor."
    before, after = excess[PRETRAINED], excess[MERGED]
    if before <= 0:
        return f"{opening} The pretrained model is already at the floor: nothing could be shown."
    values = f"from {plain(before, digits)} to {plain(after, digits)}"
    reduction = excess.get("reduction", 1 - after / before)
    way = "falls" if reduction > 0 else "rises"
    return f"{opening} The excess over it {way} {values}, by {percent(abs(reduction))}."


def _rivals_that_are(evidence: Evidence, wanted: Outcome) -> list[str]:
    """Titles of the other arms against which merged has that outcome in the main metric."""
    detector, metric = evidence.main
    found = []
    for name, arm in evidence.arms.items():
        difference = evidence.difference(detector, metric, name)
        if name in (MERGED, PRETRAINED) or difference is None:
            continue
        if judge(difference, metric, len(evidence.seeds)) == wanted:
            found.append(arm.title)
    return found


def _rivals(evidence: Evidence) -> str:
    words = {"better": "better than", "level": "level with", "worse": "worse than"}
    parts = [
        f"{words[outcome]} {listing(titles)}"
        for outcome in ("better", "level", "worse")
        if (titles := _rivals_that_are(evidence, outcome))
    ]
    return f"Against the baselines it is {'; '.join(parts)}." if parts else ""


def _other_detectors(evidence: Evidence) -> str:
    _, metric = evidence.main
    parts = []
    for detector in evidence.detectors[1:]:
        difference = evidence.difference(detector, metric, PRETRAINED)
        if difference is not None:
            outcome = judge(difference, metric, len(evidence.seeds))
            words = {"level": "level", "unknown": "undecided"}.get(outcome, outcome)
            shown = difference_text(evidence, detector, metric, PRETRAINED)
            parts.append(f"{words} on {detector} ({shown})")
    if not parts:
        return ""
    return f"Seen through detectors that the search never saw, it is {', '.join(parts)}."


def _losses(evidence: Evidence) -> str:
    """What got worse: a gain in the main metric must not hide it."""
    parts = []
    for detector in evidence.detectors:
        for metric in evidence.metrics[1:]:
            difference = evidence.difference(detector, metric, PRETRAINED)
            if difference and judge(difference, metric, len(evidence.seeds)) == "worse":
                shown = difference_text(evidence, detector, metric, PRETRAINED)
                parts.append(f"{metric_title(metric)} on {detector} ({shown})")
    return f"It loses against pretrained in {listing(parts)}." if parts else ""


def listing(words: list[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _does(words: list[str]) -> str:
    return "is" if len(words) == 1 else "are"
