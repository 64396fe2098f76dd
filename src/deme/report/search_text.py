"""What a search did and found, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from ..analysis import SearchRecord
from .evidence import PRETRAINED, Number, metric_title
from .numbers import count, digits_for, plain, signed_with_deviation
from .verdict import Outcome, Verdict, listing

NAN = float("nan")


def objective_title(record: SearchRecord) -> str:
    """What the values are, as a reader calls it: ``Fréchet distance + 0.5 · KID``."""
    return _objective(record, metric_title)


def objective_name(record: SearchRecord) -> str:
    """What the values are, as the configuration calls it."""
    return _objective(record, str)


def _objective(record: SearchRecord, title: Callable[[str], str]) -> str:
    if isinstance(record.objective, str):
        return title(record.objective)
    terms = record.objective.items()
    return " + ".join(title(n) if c == 1 else f"{c:g} · {title(n)}" for n, c in terms)


class SearchWords:
    """Sentences about one search; each is empty where the record does not say what it needs.

    Args:
        record: what the search stored.

    """

    def __init__(self, record: SearchRecord) -> None:
        self.record = record
        deviation = NAN if record.standard_error is None else record.standard_error
        self.digits = digits_for([Number(record.value, deviation)])

    def number(self, value: float) -> str:
        """A value of the objective, with the digits that its sampling deviation bears out."""
        return plain(value, self.digits)

    def signed(self, value: float) -> str:
        """A difference of two values, with its sign."""
        return signed_with_deviation(Number(value, NAN), self.digits)

    @property
    def cost(self) -> str:
        """``24 sample sets``."""
        return plural(self.record.cost, "sample set")

    def searched(self) -> str:
        """What was looked for, where, and what it took."""
        record = self.record
        who = f"The strategy {record.strategy}" if record.strategy else "The search"
        anchors = len(record.anchors)
        known = f"; {anchors} of them are anchors, which every search evaluates" if anchors else ""
        drawn = round(record.cost * record.images)
        cost = f"at the cost of {self.cost}" + (f" ({count(drawn)} images)" if drawn else "")
        return (
            f"{who} looked for {self._space()}, minimising {self._minimised()} of "
            f"{count(record.images)} images that have the same noise for every candidate. It took "
            f"{plural(len(record.evaluations), 'evaluation')} {cost}{known}."
        )

    def _minimised(self) -> str:
        """One objective; or several, of which the first decides."""
        if not self.record.pareto or len(self.record.objectives) < 2:
            return f"the {objective_title(self.record)}"
        titles = listing([metric_title(name) for name in self.record.objectives])
        return f"side by side (the first decides what is merged) {titles}"

    def _space(self) -> str:
        """The axes with their bounds, and the method where it is not the plain sum."""
        beside = {name for name, _ in self.record.beside_weights}
        weights = [axis for axis in self.record.axes if axis.name not in beside]
        parts = [_weights_text([(axis.low, axis.high) for axis in weights])] if weights else []
        parts += [
            f"{axis.name} in {_interval(axis.low, axis.high)}"
            for axis in self.record.axes
            if axis.name in beside
        ]
        method = self.record.merge_method
        return listing(parts) + ("" if method == "task_arithmetic" else f" of {method}")

    def optimism(self) -> str:
        """The winner's value on both noises, and what the difference means."""
        record, fresh = self.record, self.record.fresh
        opening = (
            f"On the noise that it was chosen on, the winner scores {self.number(record.value)}"
        )
        if fresh is None:
            return f"{opening}; it was not scored on fresh noise, so that number is optimistic."
        seed = "" if fresh.seed is None else f" (seed {fresh.seed})"
        return (
            f"{opening}; on fresh noise{seed}, which the search never saw, "
            f"{self.number(fresh.value)}. The difference, {self.signed(fresh.optimism)}, is the "
            f"search's optimism{self._moved_by_noise()}. The fresh score is the one to quote."
        )

    def _moved_by_noise(self) -> str:
        """How much of the optimism is the noise itself, as far as the record tells."""
        fresh, before = self.record.fresh, self._pretrained
        if fresh is None or fresh.pretrained is None or before is None:
            error = self.record.standard_error
            return "" if error is None else f"; sampling alone moves a score by ±{error:.2g}"
        noise = fresh.pretrained - before
        owed = fresh.optimism - noise
        share = (
            f"so {self.signed(owed)} of it is what the winner owes to being chosen"
            if owed > 0
            else "so none of it is owed to the choice of the winner"
        )
        return (
            f": the pretrained model moves by {self.signed(noise)} from the one noise to the "
            f"other, {share}"
        )

    def against_pretrained(self) -> str:
        """The winner against the pretrained model, on both noises where they are known."""
        if self.found_nothing:
            return "No candidate was better than the pretrained model: the best weights are zero."
        if self.record.against_zero is None:
            return ""
        difference, low, high = map(self.signed, self.record.against_zero)
        fresh = self._fresh_difference
        again = "" if fresh is None else f"; on fresh noise it is at {self.signed(fresh)}"
        return (
            "Against the pretrained model, image by image on the search's noise, the winner is at "
            f"{difference} (bootstrap interval {low} to {high}){again}: {self._judgement()}."
        )

    def _judgement(self) -> str:
        if self.outcome in ("better", "worse"):
            return f"{self.outcome}, beyond the noise of the images"
        if self.record.against_zero is not None and self.record.against_zero[2] < 0:
            return "a lead that the choice of the winner could explain"
        return "the interval holds zero, so the two cannot be told apart"

    @property
    def found_nothing(self) -> bool:
        """Whether the winner is the pretrained model itself."""
        numbers = self.record.numbers
        return numbers is not None and not any(numbers)

    @cached_property
    def outcome(self) -> Outcome:
        """The winner against the pretrained model.

        The bootstrap's interval is of the noise that the winner was chosen on. So it is moved up
        by what the winner loses of its lead on fresh noise or, where the pretrained model was not
        scored there, by the optimism; a lead that grows moves nothing.
        """
        if self.found_nothing:
            return "level"
        if self.record.against_zero is None:
            return "unknown"
        difference, low, high = self.record.against_zero
        lost = 0.0 if self.record.fresh is None else self.record.fresh.optimism
        if self._fresh_difference is not None:
            lost = self._fresh_difference - difference
        moved = max(lost, 0.0)
        if low + moved > 0:
            return "worse"
        return "better" if high + moved < 0 else "level"

    @property
    def _pretrained(self) -> float | None:
        """The pretrained model's value on the search's noise."""
        return next((e.value for e in self.record.full if e.anchor == PRETRAINED), None)

    @property
    def _fresh_difference(self) -> float | None:
        """Winner minus pretrained on fresh noise."""
        fresh = self.record.fresh
        return None if fresh is None or fresh.pretrained is None else fresh.value - fresh.pretrained

    def verdict(self) -> Verdict:
        """The judgement of a run that was searched and not evaluated."""
        fresh = self.record.fresh
        value = self.record.value if fresh is None else fresh.value
        where = "the search's own noise" if fresh is None else "fresh noise"
        opening = {
            "better": "The searched merge is better than the pretrained model",
            "level": "The searched merge cannot be told from the pretrained model",
            "worse": "The searched merge is worse than the pretrained model",
            "unknown": "The search has its weights",
        }[self.outcome]
        if self.found_nothing:
            opening = "The search found nothing better than the pretrained model"
        closing = (
            "This is the search's own measure; baselines, other detectors and several noise seeds "
            "are an evaluation's, which this run has not had."
        )
        headline = f"{opening}: {objective_title(self.record)} {self.number(value)} on {where}."
        sentences = (self.optimism(), self.against_pretrained(), closing)
        return Verdict(self.outcome, headline, tuple(filter(None, sentences)))


def _weights_text(bounds: Sequence[tuple[float, float]]) -> str:
    noun = plural(len(bounds), "merging weight")
    if len(set(bounds)) > 1:
        return f"{noun} within bounds of their own"
    return f"{noun}{' each' if len(bounds) > 1 else ''} in {_interval(*bounds[0])}"


def _interval(low: float, high: float) -> str:
    return f"[{low:g}, {high:g}]".replace("-", "−")


def plural(number: float, noun: str) -> str:
    """``1 sample set``, ``16.8 sample sets``."""
    text = count(int(number)) if float(number).is_integer() else f"{number:.1f}"
    return f"{text} {noun}{'' if text == '1' else 's'}"
