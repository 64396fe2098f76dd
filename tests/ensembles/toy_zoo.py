"""Spaces of schedules whose scores are known in closed form."""

from __future__ import annotations

import itertools
import math

from deme.ensembles.schedule import ModelSchedule, ScheduleSpace

T = 1000


def space_of(costs: tuple[float, ...], steps: tuple[int, ...]) -> ScheduleSpace:
    """Timesteps from T − T/n down to 0, as ddim spaces them."""
    grids = {n: tuple(k * (T // n) for k in reversed(range(n))) for n in steps}
    return ScheduleSpace(costs, grids, T)


def additive(space: ScheduleSpace, schedule: ModelSchedule) -> float:
    """A mean over steps, each model best at other timesteps; few steps cost quality."""
    grid = space.timesteps[schedule.steps]
    values = [
        math.cos(3 * t / T + 1.3 * model) for model, t in zip(schedule.models, grid, strict=True)
    ]
    return sum(values) / schedule.steps + 4 / schedule.steps


def everything(space: ScheduleSpace, limit: float) -> list[ModelSchedule]:
    """All schedules within a limit."""
    each = (
        ModelSchedule(models)
        for n in space.timesteps
        for models in itertools.product(range(space.models), repeat=n)
    )
    return [schedule for schedule in each if space.affords(schedule, limit)]
