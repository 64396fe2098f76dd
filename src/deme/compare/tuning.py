"""What was tried for an arm, and what was chosen."""

from __future__ import annotations

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
    """The trial with the smallest value; the first of those that were not measured."""
    best = min(trials, key=lambda trial: float("inf") if trial.value is None else trial.value)
    return Choice(best.setting, tuple(trials))
