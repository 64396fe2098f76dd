"""Numbers as a reader wants them: as many digits as the deviation bears out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import median

from .evidence import Number

MINUS = "−"
MOST_DIGITS = 6


def digits_for(numbers: Iterable[Number]) -> int:
    """Digits after the point that show the median deviation with two figures.

    Where there is no deviation, the largest mean is shown with four figures.
    """
    found = list(numbers)
    deviations = [n.deviation for n in found if n.deviation > 0 and math.isfinite(n.deviation)]
    if deviations:
        return _clamp(1 - math.floor(math.log10(median(deviations))))
    largest = max((abs(n.mean) for n in found if math.isfinite(n.mean)), default=0)
    return _clamp(3 - math.floor(math.log10(largest))) if largest else 1


def _clamp(digits: int) -> int:
    return min(max(digits, 0), MOST_DIGITS)


def plain(value: float, digits: int) -> str:
    """A number with the minus of typography."""
    if not math.isfinite(value):
        return "not finite"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", MINUS)


def with_deviation(number: Number, digits: int) -> str:
    """``mean ± deviation``, or the mean alone where the deviation is not known."""
    if math.isnan(number.deviation):
        return plain(number.mean, digits)
    return f"{plain(number.mean, digits)} ± {plain(number.deviation, digits)}"


def signed_with_deviation(number: Number, digits: int) -> str:
    """``+mean ± deviation``, for differences."""
    sign = "+" if number.mean > 0 and float(f"{number.mean:.{digits}f}") != 0 else ""
    return sign + with_deviation(number, digits)


def count(value: int) -> str:
    """A whole number with thin spaces between the thousands."""
    return f"{value:,}".replace(",", "\u202f")


def percent(fraction: float) -> str:
    """A fraction in percent, with one digit after the point."""
    return f"{plain(100 * fraction, 1)} %"


def duration(seconds: float) -> str:
    """Seconds as ``12.3 s``, ``3 min 05 s`` or ``2 h 03 min``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
