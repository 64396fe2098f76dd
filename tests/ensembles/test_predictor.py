import math
import random

import pytest
import torch
from scipy.stats import kendalltau

from deme.ensembles.predictor import fit_predictor, kendall_tau, ranking_loss
from deme.ensembles.schedule import ModelSchedule
from deme.errors import DataError
from ensembles.toy_zoo import additive, space_of

SPACE = space_of((1.0, 1.0, 0.6, 0.5), (10, 7, 5))


def drawn(count: int) -> list[ModelSchedule]:
    draws = random.Random(3)
    found: dict[ModelSchedule, None] = {}
    while len(found) < count:
        found[SPACE.drawn(10, draws)] = None
    return list(found)


def test_a_hundred_schedules_teach_the_order_of_others() -> None:
    schedules = drawn(200)
    scores = [additive(SPACE, schedule) for schedule in schedules]
    predictor = fit_predictor(SPACE, schedules[:100], scores[:100], iterations=200)
    long = [i for i in range(100, 200) if schedules[i].steps == 10]
    tau = kendall_tau(predictor(schedules[100:]).tolist(), scores[100:])
    of_equal_steps = kendall_tau(
        predictor([schedules[i] for i in long]).tolist(), [scores[i] for i in long]
    )
    assert tau > 0.8
    assert of_equal_steps > 0.8  # not the number of steps alone


def test_only_the_order_of_scores_counts_and_a_fit_is_repeatable() -> None:
    schedules = drawn(12)
    scores = [additive(SPACE, schedule) for schedule in schedules]
    stretched = [score**3 + 100 * (score > 1) for score in scores]
    state = torch.get_rng_state()
    first = fit_predictor(SPACE, schedules, scores, iterations=5)(schedules)
    second = fit_predictor(SPACE, schedules, stretched, iterations=5)(schedules)
    other = fit_predictor(SPACE, schedules, scores, iterations=5, seed=1)(schedules)
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


def test_padding_changes_no_prediction() -> None:
    schedules = drawn(12)
    scores = [additive(SPACE, schedule) for schedule in schedules]
    predictor = fit_predictor(SPACE, schedules, scores, iterations=3)
    alone = torch.cat([predictor([schedule]) for schedule in schedules])
    assert len({schedule.steps for schedule in schedules}) > 1
    torch.testing.assert_close(predictor(schedules), alone)


def test_the_ranking_loss_is_the_sum_over_pairs() -> None:
    scores = torch.tensor([3.0, 1.0, 1.0, 7.0])
    predicted = torch.tensor([0.4, 0.0, -0.1, 0.3])
    ranks = {1.0: 0, 3.0: 2, 7.0: 3}
    terms = [
        max(0.0, (ranks[b] - ranks[a]) * 12**0.5 / 3 - (predicted[j] - predicted[i]).item())
        for i, a in enumerate(scores.tolist())
        for j, b in enumerate(scores.tolist())
        if a < b
    ]
    assert ranking_loss(predicted, scores).item() == pytest.approx(sum(terms) / len(terms))
    assert ranking_loss(10 * scores, scores).item() == 0


def test_kendalls_tau_is_scipys() -> None:
    draws = torch.Generator().manual_seed(0)
    first, second = torch.randint(0, 12, (2, 40), generator=draws).tolist()  # with ties
    assert kendall_tau(first, second) == pytest.approx(kendalltau(first, second)[0])
    assert math.isnan(kendall_tau(first, [1.0] * 40))


def test_too_few_or_broken_scores_are_refused() -> None:
    schedules = drawn(4)
    with pytest.raises(DataError, match="3 schedules"):
        fit_predictor(SPACE, schedules[:3], [1.0, 2.0, 3.0])
    with pytest.raises(DataError, match="3 finite scores"):
        fit_predictor(SPACE, schedules, [1.0, 2.0, 3.0, float("nan")])
