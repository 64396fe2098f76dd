"""Evolutionary search for the model schedules that a predictor thinks best within a budget."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor

from ..randomness import derive_seed
from .schedule import ModelSchedule, ScheduleSpace

GENERATIONS = 60
PATIENCE = 15
"""Generations without a better schedule, after which no more are made."""
POPULATION = 40
CHILDREN = 80
"""New schedules of a generation."""
CROSSED = 0.5
"""How probable it is that a child has two parents."""
MORE_MUTATIONS = 0.5
"""How probable it is that a further mutation follows each."""
ATTEMPTS = 20
"""Children that are made for each new one, at most; in a small space few are new."""

Predict = Callable[[Sequence[ModelSchedule]], Tensor]
"""Values ``(B,)`` of schedules, lower is better."""


class Evolution:
    """The best schedules so far are parents; crossed and mutated, their children replace the worst.

    A child with two parents takes its number of steps from the first, and in relative time one
    stretch of the second's models. A mutation gives one step, or a stretch of steps, to another
    model, moves a place where two models meet by a step, or changes the number of steps.
    Children that cost too much have random steps given to cheaper models.

    Args:
        space: where to search.
        limit: highest cost.
        predict: what decides.
        seed: of the draws.

    Raises:
        ConfigError: no schedule is that cheap.

    """

    def __init__(
        self, space: ScheduleSpace, limit: float, predict: Predict, *, seed: int = 0
    ) -> None:
        self.space = space
        self.limit = limit
        self.predict = predict
        self.steps = space.affordable_steps(limit)
        self.draws = random.Random(derive_seed(seed, "model schedule evolution"))
        self._value_of: dict[ModelSchedule, float] = {}

    def run(
        self, start: Sequence[ModelSchedule] = (), *, generations: int = GENERATIONS
    ) -> list[ModelSchedule]:
        """All schedules that were met, the best first.

        Args:
            start: schedules that are known; those within the limit join the first population.
            generations: how often the population is renewed, at most.

        """
        self._meet([s for s in start if self.space.affords(s, self.limit)])
        self._meet(self._new(lambda: self.space.drawn(self.limit, self.draws), POPULATION))
        waited = 0
        for _ in range(generations):
            parents = self.fittest()[:POPULATION]
            children = self._new(lambda parents=parents: self._child(parents), CHILDREN)
            if not children:
                break  # the space is exhausted, as far as these parents reach
            self._meet(children)
            waited = waited + 1 if self.fittest()[0] == parents[0] else 0
            if waited == PATIENCE:
                break
        return self.fittest()

    def fittest(self) -> list[ModelSchedule]:
        """All that were met, the best first."""
        return sorted(self._value_of, key=lambda schedule: (self._value_of[schedule], schedule))

    def _meet(self, schedules: Sequence[ModelSchedule]) -> None:
        if schedules:
            values = self.predict(schedules).tolist()
            self._value_of.update(zip(schedules, values, strict=True))

    def _new(self, make: Callable[[], ModelSchedule], count: int) -> list[ModelSchedule]:
        found: dict[ModelSchedule, None] = {}
        for _ in range(ATTEMPTS * count):
            schedule = make()
            if schedule not in self._value_of:
                found[schedule] = None
            if len(found) == count:
                break
        return list(found)

    def _child(self, parents: Sequence[ModelSchedule]) -> ModelSchedule:
        models = list(self._parent(parents).models)
        if self.draws.random() < CROSSED:
            other = self.space.resampled(self._parent(parents).models, len(models))
            low, high = self._stretch(len(models))
            models[low:high] = other[low:high]
        else:
            models = self._mutated(models)
        while self.draws.random() < MORE_MUTATIONS:
            models = self._mutated(models)
        return self.space.cheapened(ModelSchedule(tuple(models)), self.limit, self.draws)

    def _parent(self, parents: Sequence[ModelSchedule]) -> ModelSchedule:
        """The better of two drawn; parents are in order of fitness."""
        return parents[min(self.draws.randrange(len(parents)) for _ in range(2))]

    def _stretch(self, steps: int) -> tuple[int, int]:
        """A random stretch of steps, of one at least."""
        low, high = sorted(self.draws.choices(range(steps), k=2))
        return low, high + 1

    def _mutated(self, models: list[int]) -> list[int]:
        kind = self.draws.choice(("step", "stretch", "boundary", "steps"))
        changed = list(models)
        if kind == "steps":
            return self.space.resampled(models, self.draws.choice(self.steps))
        changes = [k for k, (a, b) in enumerate(pairwise(models)) if a != b]
        if kind == "boundary" and changes:  # one of two neighbours takes the other's model
            place = self.draws.choice(changes)
            changed[place], changed[place + 1] = self.draws.choice(
                ((models[place],) * 2, (models[place + 1],) * 2)
            )
            return changed
        low, high = self._stretch(len(models))
        if kind == "step":
            high = low + 1
        changed[low:high] = [self.draws.randrange(self.space.models)] * (high - low)
        return changed
