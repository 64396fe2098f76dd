import math

import pytest

from deme.report.evidence import Number
from deme.report.numbers import (
    count,
    digits_for,
    duration,
    percent,
    plain,
    signed_with_deviation,
    with_deviation,
)


@pytest.mark.parametrize(
    ("deviation", "text"),
    [(0.0213, "12.346 ± 0.021"), (0.4, "12.35 ± 0.40"), (3.0, "12.3 ± 3.0"), (40, "12 ± 40")],
)
def test_as_many_digits_as_the_deviation_bears_out(deviation: float, text: str) -> None:
    number = Number(12.3456, deviation)
    assert with_deviation(number, digits_for([number])) == text


def test_the_median_deviation_decides_for_a_column() -> None:
    numbers = [Number(1, 0.1), Number(1, 0.2), Number(1, 0.000001)]
    assert digits_for(numbers) == 2


def test_without_a_deviation_four_figures_are_shown_and_no_deviation() -> None:
    number = Number.from_mapping({"mean": 12.3456, "std": 0.0, "values": [12.3456]})
    assert math.isnan(number.deviation)
    assert with_deviation(number, digits_for([number])) == "12.35"


def test_zero_has_no_sign_and_minus_is_a_minus() -> None:
    assert plain(-0.001, 2) == "0.00"
    assert plain(-1.5, 1) == "−1.5"
    assert signed_with_deviation(Number(0.001, 0.2), 1) == "0.0 ± 0.2"
    assert signed_with_deviation(Number(2.5, 0.2), 1) == "+2.5 ± 0.2"


def test_what_is_not_finite_is_called_so() -> None:
    assert plain(math.inf, 2) == "not finite"


def test_counts_and_fractions() -> None:
    assert count(1234567) == "1\u202f234\u202f567"
    assert percent(0.2063) == "20.6 %"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (185.2, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7380, "2 h 03 min"),
    ],
)
def test_durations_carry_over(seconds: float, text: str) -> None:
    assert duration(seconds) == text
