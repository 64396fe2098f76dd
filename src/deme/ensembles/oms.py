"""OMS-DPM: measure random model schedules, learn their order, evolve the best within a budget.

After Liu, Ning et al., arXiv:2306.08860.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..randomness import derive_seed
from .evolution import Evolution
from .predictor import SchedulePredictor, fit_predictor, kendall_tau
from .schedule import ModelSchedule, Route, ScheduleSpace

HELD_OUT = 4
"""One measured schedule of so many judges the predictor."""
ATTEMPTS = 20
"""Draws for each random schedule, at most; in a small space few are new."""

Measure = Callable[[Sequence[ModelSchedule]], Sequence[float]]
"""Scores of schedules, lower is better."""


@dataclass(frozen=True)
class FoundSchedule:
    """The best schedule within a limit.

    Attributes:
        schedule: it.
        score: as it was measured.
        tau: Kendall's τ of the predictor on schedules that it did not see.
        measured: how many schedules were measured, for all limits together.

    """

    schedule: ModelSchedule
    score: float
    tau: float
    measured: int


def search_schedules(
    space: ScheduleSpace,
    measure: Measure,
    limits: Sequence[float],
    *,
    schedules: int,
    finalists: int = 8,
    routes: Sequence[Route] = (),
    seed: int = 0,
) -> list[FoundSchedule]:
    """The best schedule within each limit; one set of measured schedules serves all of them.

    Args:
        space: where to search.
        measure: what a schedule is worth.
        limits: highest costs, in the unit of the space's.
        schedules: how many random schedules are measured.
        finalists: how many are measured for each limit in the end.
        routes: ensembles of the same zoo that are measured too.
        seed: of all draws.

    Raises:
        ConfigError: a limit that no schedule keeps.
        DataError: fewer than 4 schedules were measured, or a score is not finite.

    """
    first = first_schedules(space, schedules, routes=routes, seed=seed)
    measured = dict(zip(first, measure(first), strict=True))
    predictor = fit_predictor(space, first, list(measured.values()), seed=seed)
    tau = held_out_tau(space, measured, seed=seed)
    proposed = [
        propose(space, measured, predictor, limit, count=finalists, seed=seed) for limit in limits
    ]
    known = dict(measured)
    new = [s for s in dict.fromkeys(s for group in proposed for s in group) if s not in known]
    known.update(zip(new, measure(new), strict=True))
    best = [min(group, key=lambda schedule: (known[schedule], schedule)) for group in proposed]
    return [FoundSchedule(each, known[each], tau, len(known)) for each in best]


def first_schedules(
    space: ScheduleSpace, count: int, *, routes: Sequence[Route] = (), seed: int = 0
) -> list[ModelSchedule]:
    """Schedules to measure first: no budget decides them, so that they serve every budget.

    Args:
        space: where to search.
        count: how many random ones, each within a limit of its own, uniform over the costs of
            the space; there are fewer where the space has no more.
        routes: ensembles of the zoo.
        seed: of the draws.

    Returns:
        Each model alone and each ensemble at every number of steps, then the random ones; all
        different.

    """
    known = [
        schedule
        for steps in space.timesteps
        for schedule in (
            *(ModelSchedule((model,) * steps) for model in range(space.models)),
            *(space.along(route, steps) for route in routes),
        )
    ]
    found = dict.fromkeys(known)
    wanted = len(found) + count
    draws = random.Random(derive_seed(seed, "first model schedules"))
    cheapest = min(space.timesteps) * min(space.costs)
    for _ in range(ATTEMPTS * count):
        if len(found) == wanted:
            break
        limit = draws.uniform(cheapest, space.most_expensive)
        found[space.drawn(limit, draws)] = None
    return list(found)


def held_out_tau(
    space: ScheduleSpace, measured: Mapping[ModelSchedule, float], *, seed: int = 0
) -> float:
    """Kendall's τ on a quarter of the schedules, of a predictor that was fitted to the others.

    The predictor that is used afterwards has seen all of them.

    Raises:
        DataError: the others are fewer than 4, or a score is not finite.

    """
    schedules = list(measured)
    random.Random(derive_seed(seed, "held-out model schedules")).shuffle(schedules)
    judges, seen = schedules[::HELD_OUT], [s for i, s in enumerate(schedules) if i % HELD_OUT]
    predictor = fit_predictor(space, seen, [measured[s] for s in seen], seed=seed)
    return kendall_tau(predictor(judges).tolist(), [measured[s] for s in judges])


def propose(
    space: ScheduleSpace,
    measured: Mapping[ModelSchedule, float],
    predictor: SchedulePredictor,
    limit: float,
    *,
    count: int,
    seed: int = 0,
) -> list[ModelSchedule]:
    """The schedules to measure in the end: the best by prediction, and the best measured so far.

    Args:
        space: where to search.
        measured: scores so far.
        predictor: fitted to them.
        limit: highest cost.
        count: how many, at least 1.
        seed: of the evolution.

    Raises:
        ConfigError: no schedule is that cheap.

    """
    evolved = Evolution(space, limit, predictor, seed=seed).run(list(measured))
    affordable = [schedule for schedule in measured if space.affords(schedule, limit)]
    safest = sorted(affordable, key=lambda schedule: (measured[schedule], schedule))[:1]
    return list(dict.fromkeys([*safest, *evolved]))[:count]
