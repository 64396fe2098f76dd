import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from deme.denoisers import Conditioning, Denoiser, RoutedDenoiser, load_denoiser
from deme.ensembles.schedule import ModelSchedule, Route, ScheduleSpace
from deme.errors import ConfigError
from deme.generate import SamplerConfig, build_scheduler, sample_latents
from deme.generate.config import SamplerName
from ensembles.toy_zoo import everything, space_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ impl:DeprecationWarning")
SPACE = space_of((1.0, 0.5, 0.25), (7, 4, 3))


@given(st.integers(0, 10_000), st.floats(0.75, 8))
@settings(deadline=None)
def test_drawn_schedules_keep_the_limit(seed: int, limit: float) -> None:
    schedule = SPACE.drawn(limit, random.Random(seed))
    assert schedule.steps in SPACE.timesteps
    assert sum(SPACE.costs[model] for model in schedule.models) <= limit * (1 + 1e-9)


@given(st.integers(0, 10_000))
@settings(deadline=None)
def test_a_schedule_is_what_its_routed_ensemble_does(seed: int) -> None:
    schedule = SPACE.drawn(7, random.Random(seed))
    assert SPACE.along(SPACE.route(schedule), schedule.steps) == schedule


def test_every_schedule_of_a_small_space_is_drawn() -> None:
    space, draws = space_of((1.0, 0.5), (2, 3)), random.Random(0)
    assert {space.drawn(2, draws) for _ in range(400)} == set(everything(space, 2))


@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++"])
def test_the_stock_sampler_meets_each_model_at_its_own_steps(
    sampler: SamplerName, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = load_denoiser("digits")
    config = SamplerConfig(sampler=sampler, sampler_steps=6)
    grid = tuple(int(t) for t in build_scheduler(base, config).timesteps)
    space = ScheduleSpace((1.0, 1.0, 1.0), {6: grid}, 1000)
    schedule = ModelSchedule((2, 0, 0, 1, 2, 2))
    served: list[tuple[int, int]] = []

    def recorded(index: int) -> Denoiser:
        denoiser = base.clone()
        predict = denoiser.predict_with

        def predict_with(network: nn.Module, x_t: Tensor, t: Tensor, more: Conditioning) -> Tensor:
            served.append((index, int(t[0])))
            return predict(network, x_t, t, more)

        monkeypatch.setattr(denoiser, "predict_with", predict_with)
        return denoiser

    zoo = [recorded(index) for index in range(3)]
    route = space.route(schedule)
    routed = RoutedDenoiser([zoo[index] for index in route.members], route.boundaries)
    sample_latents(routed, config, torch.randn(2, 1, 8, 8), {})
    assert served == list(zip(schedule.models, grid, strict=True))


def test_stretches_of_one_model_are_one_range() -> None:
    route = space_of((1.0, 1.0), (5,)).route(ModelSchedule((0, 0, 1, 1, 1)))
    assert route == Route((1, 0), (0, 500, 1000))


def test_cheapening_gives_steps_to_cheaper_models_alone() -> None:
    before = ModelSchedule((0, 1, 0, 2, 0, 1, 0))
    after = SPACE.cheapened(before, 3, random.Random(0))
    assert SPACE.affords(after, 3)
    pairs = zip(before.models, after.models, strict=True)
    assert all(SPACE.costs[new] <= SPACE.costs[old] for old, new in pairs)
    assert SPACE.cheapened(before, 7, random.Random(0)) == before


def test_another_number_of_steps_keeps_who_serves_when() -> None:
    assert SPACE.resampled([0, 0, 1, 1], 2) == [0, 1]
    assert SPACE.resampled([0, 1], 4) == [0, 0, 1, 1]
    assert SPACE.resampled([2, 0, 1], 3) == [2, 0, 1]


def test_a_sum_of_shares_is_not_over_its_limit_by_rounding() -> None:
    space = space_of((0.1,), (3,))
    assert space.affords(ModelSchedule((0, 0, 0)), 0.3)  # 0.1 + 0.1 + 0.1 > 0.3 in floats


def test_what_cannot_be_scheduled_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cheapest costs 0\.75"):
        SPACE.drawn(0.7, random.Random(0))
    with pytest.raises(ConfigError, match="one network call for each timestep"):
        ScheduleSpace((1.0,), {3: (500, 500, 0)}, 1000)
    with pytest.raises(ConfigError, match="7 steps cost at least"):
        SPACE.cheapened(ModelSchedule((1,) * 7), 1, random.Random(0))
    with pytest.raises(ConfigError, match="no schedule"):
        ScheduleSpace((), {1: (0,)}, 1000)
