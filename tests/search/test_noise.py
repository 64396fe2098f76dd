import math

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, DataError
from deme.metrics import FeatureStatistics, FrechetReference
from deme.search.noise import better_beyond_noise, paired_bootstrap, paired_error
from deme.search.objectives import (
    FrechetObjective,
    KernelObjective,
    LossObjective,
    Objective,
    RewardObjective,
    WeightedSum,
)
from search.objectives.feature_sets import TABLE, real_features

ROWS = 150


def pair(seed: int, rows: int = ROWS) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Two candidates of one noise: nearly equal images, and so a difference of little noise."""
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randn(rows, 4, generator=draws, dtype=torch.float64)
    own = 0.2 * torch.randn(rows, 4, generator=draws, dtype=torch.float64)
    first, second = 3.2 + noise * 1.1, 3.3 + noise * 1.2 + own
    losses = torch.rand(rows // 2, 2, generator=draws)
    return (
        {TABLE: first, "reward": first[:, :1], "loss": losses},
        {TABLE: second, "reward": second[:, :1] ** 2 / 3, "loss": losses + losses**2},
    )


def objectives() -> dict[str, Objective]:
    real = real_features(500, 4)
    frechet = FrechetObjective(FrechetReference(FeatureStatistics.from_features(real)), TABLE)
    kid = KernelObjective.kid(real, TABLE)
    return {
        "frechet": frechet,
        "kid": kid,
        "reward": RewardObjective(),
        "sum": WeightedSum({frechet: 1.0, RewardObjective(): -0.5, LossObjective(): 4.0}),
    }


def difference(objective: Objective, seed: int) -> float:
    first, second = pair(seed)
    return float(objective.value(first) - objective.value(second))


@pytest.mark.parametrize("name", ["frechet", "kid", "reward", "sum"])
def test_both_errors_are_the_spread_over_fresh_noise(name: str) -> None:
    objective = objectives()[name]
    spread = torch.tensor([difference(objective, seed) for seed in range(120)]).std()
    errors = [paired_error(objective, *pair(seed)) for seed in range(8)]
    bootstrap = paired_bootstrap(objective, *pair(0), resamples=150)
    assert sum(errors) / len(errors) == pytest.approx(float(spread), rel=0.2)
    assert bootstrap.standard_error == pytest.approx(errors[0], rel=0.25)


def test_the_error_of_a_mean_is_the_plain_standard_error_of_the_paired_differences() -> None:
    first, second = pair(0)
    differences = second["reward"] - first["reward"]
    expected = float(differences.std()) / math.sqrt(ROWS)
    assert paired_error(RewardObjective(), first, second) == pytest.approx(expected, rel=1e-10)


def test_pairing_takes_away_the_noise_that_both_share() -> None:
    objective = objectives()["frechet"]
    first, second = pair(0)
    unpaired = {TABLE: second[TABLE].flip(0)}
    assert paired_error(objective, first, second) < paired_error(objective, first, unpaired) / 2


def test_rows_of_images_are_drawn_alike_and_those_of_validation_on_their_own() -> None:
    """What the two tables of images share cancels in the sum, in both errors."""
    first, second = pair(0)
    opposite = {"reward": first["reward"], "other": -first["reward"]}
    other = {"reward": second["reward"], "other": -second["reward"]}
    both = WeightedSum({RewardObjective(): 1.0, RewardObjective("other"): 1.0})
    assert paired_error(both, opposite, other) < 1e-12
    assert paired_bootstrap(both, opposite, other, resamples=20).standard_error < 1e-12
    images, losses = RewardObjective(), LossObjective()
    parts = [paired_error(item, first, second) for item in (images, losses)]
    together = paired_error(WeightedSum({images: 1.0, losses: 1.0}), first, second)
    assert together == pytest.approx(math.hypot(*parts), rel=1e-10)


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    objective = RewardObjective()
    truth = -3.2 + (3.3**2 + 1.2**2 + 0.2**2) / 3  # of reward x and y²/3
    inside = 0
    for seed in range(60):
        found = paired_bootstrap(objective, *pair(seed), resamples=50, seed=seed)
        inside += found.low <= truth <= found.high
    assert 51 <= inside <= 60


def test_the_bootstrap_is_repeatable_and_knows_directions() -> None:
    objective = objectives()["frechet"]
    first, second = pair(0)
    one = paired_bootstrap(objective, first, second, resamples=40)
    assert one == paired_bootstrap(objective, first, second, resamples=40)
    assert one != paired_bootstrap(objective, first, second, resamples=40, seed=1)
    assert one.difference == pytest.approx(difference(objective, 0), rel=1e-10)
    assert one.low < one.difference < one.high < 0 and one.probability_better == 1
    turned = paired_bootstrap(objective, second, first, resamples=40)
    assert turned.difference == -one.difference and turned.probability_better == 0


def test_only_what_is_lower_by_more_than_its_noise_is_better() -> None:
    objective = objectives()["frechet"]
    better, worse = pair(0)
    near = {**better, TABLE: better[TABLE] + 0.0005}
    assert better_beyond_noise(objective, better, worse)
    assert not better_beyond_noise(objective, worse, better)
    assert not better_beyond_noise(objective, better, better)
    lower, higher = sorted((better, near), key=lambda tables: float(objective.value(tables)))
    error = paired_error(objective, lower, higher)
    deviations = float(objective.value(higher) - objective.value(lower)) / error
    assert better_beyond_noise(objective, lower, higher, deviations=0.9 * deviations)
    assert not better_beyond_noise(objective, lower, higher, deviations=1.1 * deviations)


def test_a_value_that_is_not_finite_is_never_better() -> None:
    objective = RewardObjective()
    good, broken = {"reward": torch.ones(5, 1)}, {"reward": torch.full((5, 1), torch.nan)}
    assert not better_beyond_noise(objective, broken, good)
    assert not better_beyond_noise(objective, broken, broken)
    assert better_beyond_noise(objective, good, broken)
    with pytest.raises(DataError, match="not finite, and so has no noise"):
        paired_error(objective, good, broken)


def test_what_is_not_paired_is_refused() -> None:
    objective = objectives()["sum"]
    first, second = pair(0)
    with pytest.raises(DataError, match=r"'reward' are not paired: there are \[100, 150\]"):
        paired_error(objective, first, {**second, "reward": second["reward"][:100]})
    shorter = [{**tables, TABLE: tables[TABLE][:70]} for tables in (first, second)]
    with pytest.raises(DataError, match="not paired"):
        paired_bootstrap(objective, *shorter)
    with pytest.raises(ConfigError, match="1 resamples"):
        paired_bootstrap(objective, first, second, resamples=1)
