"""Whether the reference arm is first, in plain words, whatever the answer is."""

from __future__ import annotations

from collections.abc import Sequence

from ..evidence import higher_is_better, metric_title
from ..numbers import digits_for, percent, with_deviation
from ..verdict import Outcome, Verdict, listing
from .arm_record import ArmRecord
from .quantities import amount, named, ordinal, titles, with_interval
from .record import ComparisonRecord
from .standing import Standing, standing

FEW = 3
"""More arms than this are counted rather than named where they are beside the point."""


def comparison_verdict(record: ComparisonRecord) -> Verdict:
    """The judgement of a comparison, finished or under way."""
    detector, metric = record.main
    main = standing(record, detector, metric)
    if main is None:
        return Verdict("unknown", _nothing_yet(record), tuple(filter(None, [_missing(record)])))
    unseen = [standing(record, name, metric) for name in record.detectors[1:]]
    found = [item for item in unseen if item is not None]
    sentences = [
        _missing(record),
        *(_details(record, item) for item in (main, *found)),
        _other_metrics(record),
        intervals_text(record),
    ]
    headline = f"{_main_clause(record, main)}{_unseen_clause(found)}."
    return Verdict(_outcome(main, found), headline, tuple(filter(None, sentences)))


def _outcome(main: Standing, unseen: Sequence[Standing]) -> Outcome:
    """The search's detector decides; a lead that another detector denies is no lead."""
    lost = any(item.worse for item in unseen)
    return "level" if main.outcome == "better" and lost else main.outcome


def _nothing_yet(record: ComparisonRecord) -> str:
    reference = named(record.reference_title)
    if record.reference_arm is None:
        return f"{reference} has not been judged yet, so nothing is decided."
    return f"{reference} is the only arm so far: there is nothing to compare it with."


def _main_clause(record: ComparisonRecord, main: Standing) -> str:
    where = f"{named(record.reference_title)} is {ordinal(main.place)} of {main.arms} arms"
    where += f" on {main.detector} features"
    if main.worse:
        best, *rest = main.worse
        tail = ""
        if rest:
            tail = f", and {_arms(len(rest), 'more')} {'is' if len(rest) == 1 else 'are'} better"
        return f"{where}: {named(best.title)} is better by {_lead(record, best, main)}{tail}"
    if main.outcome == "unknown":
        return f"{where}, by means that one seed cannot tell from luck"
    if main.place == 1:
        return f"{where}, {_clear_of(main, ' beyond the interval')}"
    return f"{where} by its mean, with no arm ahead beyond the interval; it is {_clear_of(main)}"


def _clear_of(item: Standing, beyond: str = "") -> str:
    """Which arms it is better than, which it cannot be told from, and how many are better."""
    others = item.arms - 1
    ahead = "all others" if len(item.better) == others > 1 else str(len(item.better))
    parts = [f"ahead of {ahead}{beyond}" if item.better else "ahead of none"]
    open_ones = [arm.title for arm in (*item.level, *item.unknown)]
    if open_ones:
        few = len(open_ones) <= FEW
        parts.append(f"level with {titles(open_ones) if few else f'{len(open_ones)} others'}")
    if item.worse:
        parts.append(f"behind {len(item.worse)}")
    return listing(parts)


def _unseen_clause(unseen: Sequence[Standing]) -> str:
    if not unseen:
        return "; no detector that the search never saw was asked"
    if len(unseen) > 1:
        first = sum(item.place == 1 for item in unseen)
        beaten = sum(bool(item.worse) for item in unseen)
        tail = f" and beaten on {beaten}" if beaten else ""
        return (
            f"; of {len(unseen)} detectors that the search never saw it is first on {first}{tail}"
        )
    (item,) = unseen
    words = f"; on {item.detector}, which the search never saw, it is {ordinal(item.place)}"
    return words if item.outcome == "unknown" else f"{words}, {_clear_of(item)}"


def _details(record: ComparisonRecord, item: Standing) -> str:
    """All arms by name on one detector; the differences of those that are not behind."""
    reference = record.reference_arm
    number = None if reference is None else reference.number(item.detector, item.metric)
    if number is None:
        return ""
    digits = digits_for(record.numbers(item.detector, item.metric))
    way = "higher" if higher_is_better(item.metric) else "lower"
    seen = "which the search saw" if item.detector == record.detectors[0] else "which it never saw"
    parts = [
        f"better than {titles([arm.title for arm in item.better])}" if item.better else "",
        _with_differences("level with", record, item, item.level),
        _with_differences("worse than", record, item, item.worse),
        _with_differences("without an interval against", record, item, item.unknown),
    ]
    return (
        f"On {item.detector} features, {seen}, its {metric_title(item.metric)} ({way} is better) "
        f"is {with_deviation(number, digits)}: {'; '.join(filter(None, parts))}."
    )


def _with_differences(
    words: str, record: ComparisonRecord, item: Standing, arms: Sequence[ArmRecord]
) -> str:
    """Arms with the reference minus each."""
    digits = digits_for(record.numbers(item.detector, item.metric))
    shown = []
    for arm in arms:
        difference = arm.difference(item.detector, item.metric)
        text = "" if difference is None else f" {with_interval(difference, digits)}"
        shown.append(f"{named(arm.title)}{text}")
    return f"{words} {listing(shown)}" if shown else ""


def _lead(record: ComparisonRecord, arm: ArmRecord, item: Standing) -> str:
    difference = arm.difference(item.detector, item.metric)
    digits = digits_for(record.numbers(item.detector, item.metric))
    return "" if difference is None else amount(difference, digits)


def _other_metrics(record: ComparisonRecord) -> str:
    """What is worse than an arm in another metric: the main one must not hide it."""
    parts = []
    for metric in record.metrics[1:]:
        for detector in record.detectors:
            item = standing(record, detector, metric)
            if item is not None and item.worse:
                beating = [arm.title for arm in item.worse]
                few = len(beating) <= FEW
                who = titles(beating) if few else f"{len(beating)} of {item.arms - 1} arms"
                parts.append(f"in {metric_title(metric)} on {detector} by {who}")
    return f"In other metrics it is beaten {'; '.join(parts)}." if parts else ""


def intervals_text(record: ComparisonRecord) -> str:
    """What the intervals are over, and what they do not say."""
    found = [
        difference
        for arm in record.others
        if (difference := arm.difference(*record.main)) is not None
    ]
    if not found:
        return ""
    opening = (
        f"Differences are {named(record.reference_title)} minus the other arm, paired: the same "
        "training seed, the same noise."
    )
    if not any(difference.has_interval for difference in found):
        return f"{opening} One seed of each gives no interval, and no judgement."
    having = [difference for difference in found if difference.has_interval]
    # arms that no training changes are over noise; what they are among says what the table shows
    over = next((d for d in having if d.over == "training"), having[0])
    level = percent(record.confidence).replace(".0 ", " ")
    seeds = f"{over.seeds} {over.over} seeds"
    limit = "" if over.over == "training" else "; they say nothing of another training"
    chance = (1 - record.confidence) * len(found)
    alone = (
        f" Each interval stands alone: if nothing differed, about {chance:.2g} of {len(found)} "
        "would be clear of zero by chance."
        if len(found) > 1
        else ""
    )
    return f"{opening} Intervals are Student’s at {level}, over {seeds}{limit}.{alone}"


def _missing(record: ComparisonRecord) -> str:
    if not record.missing:
        return ""
    pending = titles([record.title(name) for name in record.missing])
    total = len(record.arms) + len(record.missing)
    return f"Under way: {len(record.arms)} of {total} arms are judged; pending: {pending}."


def _arms(count: int, kind: str) -> str:
    return f"{count} {kind} arm{'' if count == 1 else 's'}"
