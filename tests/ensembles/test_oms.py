from collections.abc import Sequence

from deme.ensembles.oms import first_schedules, held_out_tau, search_schedules
from deme.ensembles.schedule import ModelSchedule, Route
from ensembles.toy_zoo import additive, everything, space_of

SPACE = space_of((1.0, 0.6, 0.5), (6, 5, 3))


def test_a_few_measured_schedules_find_nearly_the_best_of_each_budget() -> None:
    asked: list[ModelSchedule] = []

    def measure(schedules: Sequence[ModelSchedule]) -> list[float]:
        asked.extend(schedules)
        return [additive(SPACE, schedule) for schedule in schedules]

    limits = [6.0, 2.0]
    found = search_schedules(SPACE, measure, limits, schedules=50)
    assert len(set(asked)) == len(asked) == found[0].measured < 90
    for limit, each in zip(limits, found, strict=True):
        scores = sorted(additive(SPACE, schedule) for schedule in everything(SPACE, limit))
        assert SPACE.affords(each.schedule, limit)
        assert each.score == additive(SPACE, each.schedule)
        assert each.score <= scores[len(scores) // 50]  # among the best two in a hundred
        assert each.tau > 0.6


def test_each_model_and_each_ensemble_is_measured_alone() -> None:
    route = Route((2, 0), (0, 450, 1000))
    first = first_schedules(SPACE, 20, routes=[route])
    for steps in (6, 5, 3):
        assert {ModelSchedule((model,) * steps) for model in range(3)} < set(first)
    assert ModelSchedule((0, 0, 0, 2, 2, 2)) in first  # at 830, 664, 498; 332, 166, 0
    assert len(set(first)) == len(first) == 3 * 4 + 20


def test_a_small_space_has_no_more_schedules_than_there_are() -> None:
    space = space_of((1.0, 1.0), (2,))
    assert sorted(first_schedules(space, 50)) == everything(space, 2)


def test_a_score_that_no_schedule_decides_is_not_predicted() -> None:
    schedules = first_schedules(SPACE, 60)
    noise = {s: (hash(s.models) * 2654435761 % 2**32) / 2**32 for s in schedules}
    assert held_out_tau(SPACE, noise) < 0.5
