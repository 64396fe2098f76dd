from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from deme.ensembles.evolution import Evolution
from deme.ensembles.schedule import ModelSchedule, ScheduleSpace
from deme.errors import ConfigError
from ensembles.toy_zoo import additive, everything, space_of

SMALL = space_of((1.0, 0.6, 0.5), (6, 5, 3))


def exact(space: ScheduleSpace, schedules: Sequence[ModelSchedule]) -> Tensor:
    return torch.tensor([additive(space, schedule) for schedule in schedules])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [6.0, 3.4, 1.6])
def test_it_finds_what_trying_everything_finds(limit: float, seed: int) -> None:
    found = Evolution(SMALL, limit, lambda s: exact(SMALL, s), seed=seed).run()
    best = min(everything(SMALL, limit), key=lambda schedule: additive(SMALL, schedule))
    assert found[0] == best


def test_it_finds_the_best_of_each_step_in_a_large_space() -> None:
    space = space_of((1.0, 1.0, 1.0, 1.0, 1.0), (12,))
    best = tuple(
        min(range(5), key=lambda m, t=t: torch.cos(torch.tensor(3 * t / 1000 + 1.3 * m)).item())
        for t in space.timesteps[12]
    )
    found = Evolution(space, 12, lambda s: exact(space, s)).run()
    assert found[0].models == best  # of 5^12


def test_nothing_it_met_is_over_the_limit() -> None:
    dear = ModelSchedule((0,) * 6)
    found = Evolution(SMALL, 3, lambda s: exact(SMALL, s)).run([dear], generations=5)
    assert max(SMALL.cost(schedule) for schedule in found) <= 3 + 1e-9
    assert len(set(found)) == len(found)
    assert found == sorted(found, key=lambda schedule: additive(SMALL, schedule))


def test_known_schedules_join_the_first_population() -> None:
    known = ModelSchedule((0, 1, 2, 0, 1))
    met = Evolution(SMALL, 6, lambda s: exact(SMALL, s)).run([known], generations=0)
    assert known in met


def test_a_limit_below_the_cheapest_schedule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cheapest costs 1\.5"):
        Evolution(SMALL, 1.4, lambda s: exact(SMALL, s))
