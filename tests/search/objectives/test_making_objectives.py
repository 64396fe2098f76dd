from typing import Any

import pytest
import torch

from deme.errors import ConfigError
from deme.metrics import FeatureStatistics, FrechetReference
from deme.search import SearchConfig
from deme.search.objectives import (
    FrechetObjective,
    KernelObjective,
    RewardObjective,
    WeightedSum,
    make_objectives,
)
from search.objectives.feature_sets import TABLE, feature_sets, real_features

REAL = real_features(60, 5)
REFERENCE = FrechetReference(FeatureStatistics.from_features(REAL))
ALL: dict[str, Any] = {"frechet_reference": REFERENCE, "real_features": REAL, "table": TABLE}
NOTHING: dict[str, Any] = {"frechet_reference": None, "real_features": None, "table": TABLE}


def test_a_sum_is_the_sum_of_values_gradients_and_mixtures() -> None:
    frechet, kid = FrechetObjective(REFERENCE, TABLE), KernelObjective.kid(REAL, TABLE)
    reward = RewardObjective()
    both = WeightedSum({frechet: 1.0, kid: -2.5, reward: 0.5})
    assert both.reads == (TABLE, "reward") and both.name == "1·frechet + -2.5·kid + 0.5·reward"
    sets = [
        {**tables, "reward": torch.randn(30, 1, generator=torch.Generator().manual_seed(n))}
        for n, tables in enumerate(feature_sets(3, 30, 5))
    ]

    def combined(first: Any, second: Any, third: Any) -> Any:
        return first - 2.5 * second + 0.5 * third

    weights = torch.full((30,), 1 / 30, dtype=torch.float64, requires_grad=True)
    row_weights = {TABLE: weights, "reward": weights}
    values = [item.value(sets[0], row_weights) for item in (both, frechet, kid, reward)]
    gradients = [torch.autograd.grad(value, weights)[0] for value in values]
    torch.testing.assert_close(values[0], combined(*values[1:]))
    torch.testing.assert_close(gradients[0], combined(*gradients[1:]))
    mixtures = [item.mixture() for item in (both, frechet, kid, reward)]
    for mixture in mixtures:
        for tables in sets:
            mixture.add(tables)
    c = torch.tensor([[0.5, 0.8, -0.3], [1.0, 0.0, 0.0]])
    found = [mixture(c) for mixture in mixtures]
    torch.testing.assert_close(found[0], combined(*found[1:]))
    torch.testing.assert_close(found[0][1], values[0], rtol=1e-8, atol=0)
    broken = {**sets[0], "reward": torch.full((30, 1), torch.inf)}
    assert float(both.value(broken)) == float("inf")


@pytest.mark.parametrize("coefficient", [0.0, float("nan"), float("inf")])
def test_a_coefficient_that_means_nothing_is_refused(coefficient: float) -> None:
    with pytest.raises(ConfigError, match="coefficients other than zero"):
        WeightedSum({RewardObjective(): coefficient})


def test_every_name_makes_its_objective() -> None:
    for name in ("frechet", "kid", "cmmd", "clip_score", "reward", "loss"):
        config = SearchConfig.model_validate({"objective": name, "reward": "mine:reward"})
        text = torch.ones(9, 4)
        (made,) = make_objectives(config, **ALL, text_features=text, text_table="clip")
        table = {"clip_score": "clip", "reward": "reward", "loss": "loss"}.get(name, TABLE)
        assert (made.name, made.reads) == (name, (table,))


def test_several_names_make_a_sum_and_a_front_a_list() -> None:
    config = SearchConfig.model_validate({"objective": {"frechet": 1, "kid": 3}})
    (made,) = make_objectives(config, **ALL)
    assert isinstance(made, WeightedSum) and [*made.terms.values()] == [1, 3]
    assert [item.name for item in make_objectives(config, **ALL)] == [made.name]
    front = SearchConfig.model_validate({"strategy": "nsga2", "pareto": ["kid", "frechet"]})
    assert [item.name for item in make_objectives(front, **ALL)] == ["kid", "frechet"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("frechet", r"needs statistics of real images.*Fix"),
        ("kid", r"kid needs the real images' features.*objective=frechet"),
        ("cmmd", r"cmmd needs the real images' features"),
        ("clip_score", r"this model takes none.*Fix: choose search\.objective"),
    ],
)
def test_what_is_missing_is_named_with_the_fix(name: str, message: str) -> None:
    config = SearchConfig.model_validate({"objective": name})
    with pytest.raises(ConfigError, match=message):
        make_objectives(config, **NOTHING)
