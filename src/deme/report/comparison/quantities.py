"""Differences, costs and settings as a reader wants them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..evidence import Number
from ..numbers import count, plain, signed_with_deviation
from ..verdict import listing
from .arm_record import Difference

PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z")
NOT_KNOWN = "–"
PUBLISHED = "published"
"""What the weights' average is called where none is given: the papers' own."""


def signed(value: float, digits: int) -> str:
    """A number with its sign and the minus of typography."""
    return signed_with_deviation(Number(value, math.nan), digits)


def interval(difference: Difference, digits: int) -> str:
    """``−1.61 to −0.80``; empty where there is none."""
    if not difference.has_interval:
        return ""
    return f"{signed(difference.low, digits)} to {signed(difference.high, digits)}"


def with_interval(difference: Difference, digits: int) -> str:
    """``−1.20 (−1.61 to −0.80)``, or the mean alone."""
    ends = interval(difference, digits)
    return signed(difference.mean, digits) + (f" ({ends})" if ends else "")


def amount(difference: Difference, digits: int) -> str:
    """The same without signs, for "better by": ``1.20 (0.80 to 1.61)``; all ends of one sign."""
    mean = plain(abs(difference.mean), digits)
    if not difference.has_interval:
        return mean
    low, high = sorted((abs(difference.low), abs(difference.high)))
    return f"{mean} ({plain(low, digits)} to {plain(high, digits)})"


def counted(value: int | None) -> str:
    """A whole number with spaces between the thousands, where it is known."""
    return NOT_KNOWN if value is None else count(value)


def short(value: float | None) -> str:
    """Three figures and a prefix of a thousand: ``1.23 M``."""
    if value is None or not math.isfinite(value):
        return NOT_KNOWN
    if value == 0:
        return "0"
    power = min(max(math.floor(math.log10(abs(value)) / 3), 0), len(PREFIXES) - 1)
    if float(f"{value / 1000**power:.3g}") >= 1000 and power < len(PREFIXES) - 1:
        power += 1
    scaled = value / 1000**power
    text = f"{scaled:.3g}" if power == 0 and scaled == int(scaled) else f"{scaled:#.3g}".rstrip(".")
    return f"{text} {PREFIXES[power]}".rstrip()


def milliseconds(seconds: float | None) -> str:
    """Seconds as milliseconds with three figures."""
    if seconds is None or not math.isfinite(seconds):
        return NOT_KNOWN
    value = 1000 * seconds
    return f"{value:.0f}" if value >= 1000 else f"{value:#.3g}".rstrip(".")


def rate(value: float) -> str:
    """A learning rate as people write it: ``1.5e-3``."""
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if value else "0"


def average(value: float | None) -> str:
    """A relative width of the weights' average."""
    return PUBLISHED if value is None else f"σ {value:g}"


def named(title: str) -> str:
    """A title as it stands in a sentence: in quotation marks where it has a comma."""
    return f"“{title}”" if "," in title else title


def titles(names: Sequence[str]) -> str:
    """``a, b and c``, each as :func:`named`."""
    return listing([named(name) for name in names])


def ordinal(place: int) -> str:
    """``first``, ``second``, ``third``, ``4th``."""
    words = {1: "first", 2: "second", 3: "third"}
    if place in words:
        return words[place]
    ending = {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{'th' if place % 100 in (11, 12, 13) else ending}"
