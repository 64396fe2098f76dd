"""How the arms were tuned: all alike, and what came of every trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..evidence import Number, metric_title
from ..numbers import digits_for, plain
from ..verdict import listing
from .arm_record import ArmRecord, Trial
from .quantities import NOT_KNOWN, average, rate, titles
from .record import ComparisonRecord

Setting = tuple[float, float | None]


@dataclass(frozen=True)
class TrialCell:
    """What a trial measured, and whether its setting was chosen; empty where it was not tried."""

    text: str
    chosen: bool


@dataclass(frozen=True)
class TrialRow:
    """One arm's trials: its cells by rate, then by average; and its chosen setting in words."""

    title: str
    is_reference: bool
    cells: tuple[TrialCell, ...]
    chosen: str


@dataclass(frozen=True)
class TrialTable:
    """All trials of all arms that were tuned; columns are rates, then averages."""

    columns: tuple[str, ...]
    rows: tuple[TrialRow, ...]


def tuning_sentences(record: ComparisonRecord) -> list[str]:
    """The same for every arm: what was tried, where, and what decided."""
    plan = record.plan
    trials = f"{plan.count} trial{'' if plan.count == 1 else 's'}"
    tried = f"the learning rate{'s' if len(plan.learning_rates) > 1 else ''} "
    tried += listing([rate(value) for value in plan.learning_rates]) + " at the whole budget"
    if plan.averages:
        widths = listing([f"{value:g}" for value in plan.averages])
        plural = "s" if len(plan.averages) > 1 else ""
        tried += f", then at the best of them the relative width{plural} {widths} of the weights' "
        tried += "average beside the published one"
    said = [f"Every arm that is trained had the same {trials}: {tried}."]
    if plan.count > 1:
        said.append(f"{_decided(record)} {_tuned_at(record)}")
    untuned = [arm.title for arm in record.arms.values() if arm.chosen is None and arm.of]
    if untuned:
        had = "It takes" if len(untuned) == 1 else "They take"
        said.append(
            f"Not tuned themselves: {titles(untuned)}. {had} the setting of the arm that "
            f"{'it is' if len(untuned) == 1 else 'they are'} made of."
        )
    return [*said, *_at_the_edge(record)]


def _decided(record: ComparisonRecord) -> str:
    metric, _, detector = record.plan.objective.partition(", ")
    features = f" on {detector} features" if detector else ""
    measure = f"the smallest {metric_title(metric)}{features}" if metric else "the best value"
    kept = f"Kept was {measure}, on the search's noise seed and the search's real images"
    endings: dict[bool | None, str] = {
        True: "; neither is used to judge",
        False: "; that noise judges nothing, those images are the ones that judge too",
    }
    return f"{kept}{endings.get(record.raw.get('halves'), '')}."


def _tuned_at(record: ComparisonRecord) -> str:
    tuned, seeds = record.plan.tuned_at, record.training_seeds
    if len(seeds) == 1 or not tuned:
        return ""
    if set(tuned) == set(seeds):
        return "Every training seed was tuned by itself."
    at = f"training seed{'s' if len(tuned) > 1 else ''} {listing([str(seed) for seed in tuned])}"
    return f"That was at {at}; the other seeds use what was found there."


def _at_the_edge(record: ComparisonRecord) -> list[str]:
    """Arms whose best rate is the lowest or highest tried: a better one may lie beyond."""
    rates = sorted(record.plan.learning_rates)
    if len(rates) < 3:
        return []
    said = []
    for word, end in (("lowest", rates[0]), ("highest", rates[-1])):
        found = [
            arm.title
            for arm in record.arms.values()
            if arm.chosen is not None and arm.chosen.learning_rate == end
        ]
        if found:
            said.append(
                f"At the {word} rate that was tried, so that a better one may lie beyond: "
                f"{titles(found)}."
            )
    return said


def trial_table(record: ComparisonRecord) -> TrialTable | None:
    """Every trial of every arm; None where nothing was tried."""
    tuned = [arm for arm in record.arms.values() if arm.trials and arm.chosen is not None]
    if not tuned:
        return None
    measured = [t.value for arm in tuned for t in arm.trials if t.value is not None]
    # four figures of the smallest value: trials have no deviation that could say how many
    digits = digits_for([Number(min(map(abs, measured)), float("nan"))]) if measured else 0
    rates, averages = _settings([t for arm in tuned for t in arm.trials])
    rows = tuple(_row(record, arm, rates, averages, digits) for arm in tuned)
    return TrialTable((*map(rate, rates), *map(average, averages)), rows)


def _settings(trials: Sequence[Trial]) -> tuple[list[float], list[float]]:
    """All rates at the published average, and all averages, each in increasing order."""
    rates = {trial.learning_rate for trial in trials if trial.average is None}
    averages = {trial.average for trial in trials if trial.average is not None}
    return sorted(rates), sorted(averages)


def _row(
    record: ComparisonRecord,
    arm: ArmRecord,
    rates: Sequence[float],
    averages: Sequence[float],
    digits: int,
) -> TrialRow:
    chosen = None if arm.chosen is None else arm.chosen.setting
    cells = [
        *(
            _cell([t for t in arm.trials if t.setting == (value, None)], chosen, digits)
            for value in rates
        ),
        *(
            _cell([t for t in arm.trials if t.average == width], chosen, digits)
            for width in averages
        ),
    ]
    words = "" if chosen is None else f"{rate(chosen[0])}, {average(chosen[1])}"
    return TrialRow(arm.title, arm.name == record.reference, tuple(cells), words)


def _cell(trials: Sequence[Trial], chosen: Setting | None, digits: int) -> TrialCell:
    """One trial; several where every training seed was tuned."""
    values = [NOT_KNOWN if t.value is None else plain(t.value, digits) for t in trials]
    return TrialCell(" / ".join(values), any(trial.setting == chosen for trial in trials))


def facts(record: ComparisonRecord) -> list[tuple[str, str]]:
    """What was found for each arm at the first training seed, in words."""
    return [
        (arm.title, "; ".join(f"{_words(key)} {_plain(value)}" for key, value in arm.facts.items()))
        for arm in record.arms.values()
        if arm.facts
    ]


def _words(key: str) -> str:
    return key.replace("_", " ")


def _plain(value: Any) -> str:
    """A JSON value without its quotes, numbers with four figures."""
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−")
    if isinstance(value, dict):
        return ", ".join(f"{_words(str(key))}: {_plain(entry)}" for key, entry in value.items())
    if isinstance(value, list | tuple):
        return f"({', '.join(map(_plain, value))})"
    return str(value)
