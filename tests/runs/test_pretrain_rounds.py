"""When another round of training counts as having helped."""

from __future__ import annotations

from typing import Any

import pytest

from deme.runs.pretrain_measure import compare_rounds
from deme.runs.pretrain_spec import PlateauConfig


def judge(before: list[float], after: list[float], **rule: Any) -> dict[str, Any]:
    plateau = PlateauConfig.model_validate(rule)
    return compare_rounds([compare_rounds([], before, plateau)], after, plateau)


def test_the_first_round_always_stands() -> None:
    assert compare_rounds([], [3.0, 4.0], PlateauConfig())["helped"]


def test_differences_are_paired_over_the_seeds() -> None:
    # the seeds are far apart, the differences agree: −2 on each
    found = judge([100.0, 10.0, 50.0], [98.0, 8.0, 48.0])
    assert found["helped"]
    assert (found["change"], found["standard_error"]) == (-2.0, 0.0)


def test_a_fall_within_its_noise_is_none() -> None:
    found = judge([10.0, 10.0], [6.0, 13.0])  # −4 and +3: mean −0.5, standard error 3.5
    assert not found["helped"]
    assert found["standard_error"] == pytest.approx(3.5)


def test_a_fall_below_the_least_gain_is_none() -> None:
    before, after = [100.0, 100.0], [99.5, 99.5]
    assert not judge(before, after, least_gain=0.01)["helped"]
    assert judge(before, after, least_gain=0.001)["helped"]


def test_a_rise_is_none() -> None:
    assert not judge([10.0, 11.0], [12.0, 13.0])["helped"]
