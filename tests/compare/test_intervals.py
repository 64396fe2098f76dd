"""Means and paired differences over seeds."""

import math
import statistics

import pytest
import torch

from deme.compare.intervals import mean_and_deviation, paired_difference


def test_a_shift_common_to_both_arms_cancels() -> None:
    noise = [[1.0, 5.0, 9.0], [2.0, 4.0, 7.0]]
    better = [[value - 3 for value in row] for row in noise]
    found = paired_difference(better, noise)
    assert (found.mean, found.low, found.high) == pytest.approx((-3, -3, -3))


def test_the_interval_is_students_over_training_seeds() -> None:
    first, second = [[1.0, 3.0], [4.0, 4.0], [9.0, 7.0]], [[0.0, 0.0]] * 3
    found = paired_difference(first, second, confidence=0.95)
    means = [2.0, 4.0, 8.0]
    half = 4.302652729911275 * statistics.stdev(means) / math.sqrt(3)  # t(0.975, 2)
    assert found.over == "training" and found.seeds == 3
    assert found.high - found.mean == pytest.approx(half)


def test_one_training_seed_is_said_and_leaves_the_noise_seeds() -> None:
    found = paired_difference([[1.0, 2.0, 3.0]], [[0.0, 0.0, 0.0]])
    assert (found.over, found.seeds) == ("noise", 3)


def test_two_arms_that_no_training_changes_are_no_repetitions_of_each_other() -> None:
    first, second = [[1.0, 2.0, 4.0]] * 3, [[0.0, 0.0, 0.0]] * 3
    found = paired_difference(first, second)
    assert found == paired_difference(first[:1], second[:1]) and found.low < found.high
    trained = [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]
    assert paired_difference(first, trained).over == "training"


def test_a_single_pair_has_no_interval() -> None:
    found = paired_difference([[1.0]], [[0.5]])
    assert found.mean == 0.5 and found.to_dict()["low"] is None and found.to_dict()["high"] is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    draws = torch.Generator().manual_seed(0)
    hits, trials = 0, 2000
    for _ in range(trials):
        training = torch.randn(3, 1, generator=draws)
        values = (0.7 + training + 0.3 * torch.randn(3, 4, generator=draws)).tolist()
        found = paired_difference(values, [[0.0] * 4] * 3, confidence=0.9)
        hits += found.low <= 0.7 <= found.high
    assert hits / trials == pytest.approx(0.9, abs=0.02)  # three deviations of the count


def test_the_deviation_is_over_trainings_and_over_noise_where_there_is_one_model() -> None:
    trained, same = [[1.0, 3.0], [5.0, 7.0]], [[1.0, 3.0], [1.0, 3.0]]
    assert mean_and_deviation(trained) == pytest.approx((4, statistics.stdev([2, 6])))
    assert mean_and_deviation(same) == pytest.approx((2, statistics.stdev([1, 3])))
    assert mean_and_deviation([[2.0]]) == (2.0, None)
