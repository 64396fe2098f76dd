"""What was tried for an arm, and what was chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from .contender import Setting


@dataclass(frozen=True)
class Trial:
    """One setting, and the Fréchet distance on the search's noise; None where none was measured."""

    setting: Setting
    value: float | None


@dataclass(frozen=True)
class Choice:
    """The setting that an arm keeps, and all trials."""

    setting: Setting
    trials: tuple[Trial, ...]


def best_of(trials: Sequence[Trial]) -> Choice:
    """The trial with the smallest value; the first where none has a number."""

    def value(trial: Trial) -> float:
        return math.inf if trial.value is None or math.isnan(trial.value) else trial.value

    return Choice(min(trials, key=value).setting, tuple(trials))
