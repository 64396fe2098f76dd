"""Model schedules: how many sampler steps, and which model of a zoo serves each of them."""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from ..errors import ConfigError

TOLERANCE = 1e-9
"""A schedule may cost so much more than its limit, relatively: sums of floats are not exact."""


@dataclass(frozen=True, order=True)
class ModelSchedule:
    """Which model of a zoo serves each sampler step (Liu et al., arXiv:2306.08860).

    A skipped step is no entry here: a schedule of fewer steps is a sampler of fewer steps.

    Attributes:
        models: for each step, from noise to image, the index of its model in the zoo.

    """

    models: tuple[int, ...]

    @property
    def steps(self) -> int:
        """n, the number of sampler steps."""
        return len(self.models)


@dataclass(frozen=True)
class Route:
    """An ensemble that is routed by t, as members of a zoo.

    Attributes:
        members: for each range of timesteps, from low to high, the index of its model.
        boundaries: one more than members, increasing, from 0 to T.

    """

    members: tuple[int, ...]
    boundaries: tuple[int, ...]

    def owner(self, timestep: int) -> int:
        """The model that serves ``timestep`` in ``[0, T)``."""
        return self.members[bisect.bisect_right(self.boundaries, timestep) - 1]


@dataclass(frozen=True)
class ScheduleSpace:
    """All schedules of a zoo under one kind of sampler.

    Attributes:
        costs: of one call of each model, positive, in any unit.
        timesteps: the sampler's timesteps for each number of steps that is allowed: distinct,
            from high to low.
        num_timesteps: the models' T.

    Raises:
        ConfigError: no models, no numbers of steps, or timesteps that do not fall strictly.

    """

    costs: tuple[float, ...]
    timesteps: Mapping[int, tuple[int, ...]]
    num_timesteps: int

    def __post_init__(self) -> None:
        if not self.costs or not self.timesteps or min(self.costs) <= 0:
            raise ConfigError(
                f"{len(self.costs)} models at costs {list(self.costs)} and {len(self.timesteps)} "
                "numbers of steps have no schedule",
                fix="give at least one model at a positive cost, and one number of steps",
            )
        for steps, grid in self.timesteps.items():
            falls = all(a > b for a, b in pairwise(grid)) and len(grid) == steps
            if not falls or grid[0] >= self.num_timesteps or grid[-1] < 0:
                raise ConfigError(
                    f"{steps} sampler steps at timesteps {list(grid)} cannot be scheduled: a "
                    "schedule needs one network call for each timestep",
                    fix="use the sampler ddim, ddpm or dpmsolver++, with fewer steps than T",
                )

    @property
    def models(self) -> int:
        """K, the number of models."""
        return len(self.costs)

    @property
    def most_expensive(self) -> float:
        """The highest cost of a schedule."""
        return max(self.timesteps) * max(self.costs)

    def cost(self, schedule: ModelSchedule) -> float:
        """``Σ_k c(m_k)``, the costs of all steps together."""
        return math.fsum(self.costs[model] for model in schedule.models)

    def affords(self, schedule: ModelSchedule, limit: float) -> bool:
        """Whether the schedule costs no more than ``limit``."""
        return self.cost(schedule) <= limit * (1 + TOLERANCE)

    def affordable_steps(self, limit: float) -> list[int]:
        """The numbers of steps that the cheapest model alone can take within ``limit``.

        Raises:
            ConfigError: none.

        """
        cheapest = min(range(self.models), key=self.costs.__getitem__)
        found = [
            n for n in sorted(self.timesteps) if self.affords(ModelSchedule((cheapest,) * n), limit)
        ]
        if not found:
            least = min(self.timesteps) * min(self.costs)
            raise ConfigError(
                f"No schedule costs {limit:g} or less; the cheapest costs {least:g}",
                fix="allow a larger budget, or fewer sampler steps",
            )
        return found

    def route(self, schedule: ModelSchedule) -> Route:
        """The routed ensemble that serves the sampler's steps as the schedule says.

        Boundaries lie midway between the timesteps at which the model changes, so that the stock
        sampler with n steps meets each model where it is meant.
        """
        grid = self.timesteps[schedule.steps][::-1]
        rising = schedule.models[::-1]
        members, boundaries, start = [], [0], 0
        for model, run in groupby(rising):
            start += len(list(run))
            members.append(model)
            last = start == len(grid)
            boundaries.append(
                self.num_timesteps if last else (grid[start - 1] + grid[start] + 1) // 2
            )
        return Route(tuple(members), tuple(boundaries))

    def along(self, route: Route, steps: int) -> ModelSchedule:
        """What a routed ensemble does in so many sampler steps, as a schedule."""
        return ModelSchedule(tuple(route.owner(t) for t in self.timesteps[steps]))

    def drawn(self, limit: float, draws: random.Random) -> ModelSchedule:
        """A random schedule within ``limit``: some runs of steps, each with a model.

        The number of runs is uniform on a logarithmic scale: with every step drawn by itself all
        schedules would be nearly the same mixture.

        Raises:
            ConfigError: no schedule is that cheap.

        """
        steps = draws.choice(self.affordable_steps(limit))
        runs = min(steps, int(2 ** draws.uniform(0, math.log2(steps) + 1)))
        cuts = [0, *sorted(draws.sample(range(1, steps), runs - 1)), steps]
        models: list[int] = []
        for low, high in pairwise(cuts):
            models += [draws.randrange(self.models)] * (high - low)
        return self.cheapened(ModelSchedule(tuple(models)), limit, draws)

    def cheapened(
        self, schedule: ModelSchedule, limit: float, draws: random.Random
    ) -> ModelSchedule:
        """The schedule, random steps of it given to cheaper models until it costs ``limit``.

        Raises:
            ConfigError: so many steps are not to be had at that cost.

        """
        if self.affords(schedule, limit):
            return schedule
        if schedule.steps not in self.affordable_steps(limit):
            raise ConfigError(
                f"{schedule.steps} steps cost at least {schedule.steps * min(self.costs):g}, more "
                f"than {limit:g}",
                fix="take fewer steps",
            )
        models = list(schedule.models)
        while not self.affords(ModelSchedule(tuple(models)), limit):
            place = draws.randrange(len(models))
            own = self.costs[models[place]]
            if cheaper := [m for m in range(self.models) if self.costs[m] < own]:
                models[place] = draws.choice(cheaper)
        return ModelSchedule(tuple(models))

    def resampled(self, models: Sequence[int], steps: int) -> list[int]:
        """Another number of steps, each served as the nearest in relative time was."""
        count = len(models)
        return [models[min(count - 1, int((k + 0.5) * count / steps))] for k in range(steps)]
