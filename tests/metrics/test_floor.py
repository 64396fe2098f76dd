import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, DataError
from deme.metrics import MetricInputs, compute_metrics, real_floor, register_metric


def random_features(count: int) -> Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(count))


def test_given_halves_are_measured_as_they_are() -> None:
    features = random_features(30)
    first, second = torch.arange(0, 12), torch.arange(12, 27)
    floor = real_floor(features, halves=[(first, second)])
    expected = compute_metrics(["frechet"], features[first], features[second])["frechet"]
    assert floor.values == (expected,)
    assert (floor.mean, floor.deviation, floor.images) == (expected, 0.0, 12)


def test_drawn_sets_depend_on_the_seed_alone() -> None:
    features = random_features(50)
    floor = real_floor(features, seed=3, repeats=4)
    assert floor == real_floor(features, seed=3, repeats=4)
    assert floor.values[:2] == real_floor(features, seed=3, repeats=2).values
    assert len(set(floor.values)) == 4 and floor.images == 25
    assert floor.values != real_floor(features, seed=4, repeats=4).values


def test_mean_and_deviation_are_those_of_the_values() -> None:
    floor = real_floor(random_features(50), repeats=5)
    values = torch.tensor(floor.values, dtype=torch.float64)
    assert floor.mean == pytest.approx(float(values.mean()))
    assert floor.deviation == pytest.approx(float(values.std()))


def test_the_sets_are_disjoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def shared_rows(inputs: MetricInputs) -> float:
        real, generated = inputs.real.flatten().tolist(), inputs.generated.flatten().tolist()
        assert len(real) == len(generated) == 19
        return float(len(set(real) & set(generated)))

    monkeypatch.setattr("deme.metrics.table.METRICS", {})
    register_metric("shared", higher_is_better=False, paper="none")(shared_rows)
    assert real_floor(torch.arange(39.0)[:, None], metric="shared").values == (0.0,) * 10


def test_it_falls_with_the_count() -> None:
    features = random_features(2000)
    assert real_floor(features, count=1000).mean < real_floor(features, count=50).mean


def test_what_gives_no_two_sets_is_refused() -> None:
    features = random_features(20)
    with pytest.raises(DataError, match="20 real images do not give two disjoint sets of 11"):
        real_floor(features, count=11)
    with pytest.raises(DataError, match="overlap"):
        real_floor(features, halves=[(torch.arange(10), torch.arange(9, 20))])
    with pytest.raises(DataError, match="at least 4"):
        real_floor(features[:3])
    with pytest.raises(ConfigError, match="at least one pair"):
        real_floor(features, repeats=0)
    with pytest.raises(ConfigError, match="no metric 'fred'"):
        real_floor(features, metric="fred")
