"""What stands for an arm: a finished model, what was chosen for it, and what it took."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..generate import SamplerConfig
from .models import ComparedModel


@dataclass(frozen=True)
class Setting:
    """What every arm is tuned over, with the same number of trials.

    Attributes:
        learning_rate: of its training.
        average: relative width of the weights' average (EDM2's σ_rel); None: the published average.

    """

    learning_rate: float
    average: float | None = None

    def describe(self) -> dict[str, Any]:
        """For tables and JSON."""
        return {"learning_rate": self.learning_rate, "average": self.average}


@dataclass(frozen=True)
class Cost:
    """What one model of an arm took to make, tuning aside.

    Attributes:
        training_steps: optimizer steps, all trainings together.
        training_images: images seen by them.
        training_flops: floating-point operations of them; None where they were not counted.
        search_images: images drawn to choose weights, routes or parts.

    """

    training_steps: int = 0
    training_images: int = 0
    training_flops: float | None = 0.0
    search_images: int = 0

    @classmethod
    def sum(cls, costs: Iterable[Cost], *, search_images: int = 0) -> Cost:
        """All of them, and so many images besides."""
        found = list(costs)
        flops = [cost.training_flops for cost in found]
        return cls(
            sum(cost.training_steps for cost in found),
            sum(cost.training_images for cost in found),
            None if None in flops else math.fsum(value or 0.0 for value in flops),
            search_images + sum(cost.search_images for cost in found),
        )


@dataclass(frozen=True)
class Contender:
    """A model that could stand for an arm at one setting.

    Attributes:
        model: what draws the images.
        cost: what it took.
        sampler: where the arm has one of its own (another number of steps); None: the protocol's.
        facts: what a reader should know of it (weights found, parts kept), plain JSON values.

    """

    model: ComparedModel
    cost: Cost
    sampler: SamplerConfig | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
