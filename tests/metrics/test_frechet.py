import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from deme.errors import DataError, ProtocolError
from deme.metrics import FeatureStatistics, FrechetReference, Protocol, frechet_distance

PROTOCOL = Protocol("digits", "a" * 64)


def statistics(features: Tensor, protocol: Protocol = PROTOCOL) -> FeatureStatistics:
    return FeatureStatistics.from_features(features, protocol)


def gaussian(mean: Tensor, covariance: Tensor) -> FeatureStatistics:
    return FeatureStatistics(mean.double(), covariance.double(), None, PROTOCOL)


def random_features(count: int, dimensions: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=draw, dtype=torch.float64)
    shift = torch.randn(dimensions, generator=draw, dtype=torch.float64)
    noise = torch.randn(count, dimensions, generator=draw, dtype=torch.float64)
    return noise @ mixing + shift


def rotation(dimensions: int) -> Tensor:
    draw = torch.Generator().manual_seed(99)
    square = torch.randn(dimensions, dimensions, generator=draw, dtype=torch.float64)
    return torch.linalg.qr(square).Q


def oracle(first: np.ndarray, second: np.ndarray) -> float:
    """The textbook formula, with the root of the product by Schur's method."""
    difference = first.mean(0) - second.mean(0)
    one, two = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of nearly singular products
        root = scipy.linalg.sqrtm(one @ two)
    return float(difference @ difference + np.trace(one + two - 2 * np.real(root)))


@pytest.mark.parametrize("dimensions", [1, 2, 8, 32, 64])
def test_it_equals_an_independent_computation(dimensions: int) -> None:
    first = random_features(4 * dimensions + 8, dimensions, 1)
    second = random_features(6 * dimensions + 8, dimensions, 2)
    if dimensions == 1:
        deviations = first.std() - second.std()
        expected = float((first.mean() - second.mean()) ** 2 + deviations**2)
    else:
        expected = oracle(first.numpy(), second.numpy())
    found = frechet_distance(statistics(first), statistics(second))
    assert found == pytest.approx(expected, rel=1e-6)


def test_commuting_gaussians_have_a_closed_form() -> None:
    axes = rotation(6)
    one = torch.tensor([9.0, 4.0, 1.0, 0.25, 0.01, 0.0]).double()
    two = torch.tensor([1.0, 4.0, 2.0, 0.0, 1.0, 3.0]).double()
    shift = torch.arange(6).double()
    first = gaussian(torch.zeros(6), axes @ one.diag() @ axes.T)
    second = gaussian(shift, axes @ two.diag() @ axes.T)
    expected = float(shift.square().sum() + (one.sqrt() - two.sqrt()).square().sum())
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)


def test_a_pure_shift_is_its_square() -> None:
    features = random_features(200, 10, 1)
    shift = torch.arange(10).double()
    found = frechet_distance(statistics(features), statistics(features + shift))
    assert found == pytest.approx(float(shift.square().sum()), rel=1e-9)


@pytest.mark.parametrize("count", [3, 20, 39, 40, 41, 400])
def test_a_set_is_at_distance_zero_from_itself(count: int) -> None:
    found = statistics(random_features(count, 40, 3))
    assert frechet_distance(found, found) <= 1e-7 * float(found.covariance.trace())


@pytest.mark.parametrize("count", [12, 500])
def test_it_is_symmetric_and_invariant_to_rotation_and_shift(count: int) -> None:
    first, second = random_features(count, 24, 1), random_features(count + 9, 24, 2)
    expected = frechet_distance(statistics(first), statistics(second))
    turned = rotation(24)
    moved = frechet_distance(statistics(first @ turned + 5), statistics(second @ turned + 5))
    assert expected > 0
    assert frechet_distance(statistics(second), statistics(first)) == pytest.approx(
        expected, rel=1e-9
    )
    assert moved == pytest.approx(expected, rel=1e-9)


def test_fewer_images_than_dimensions_by_a_route_without_roots() -> None:
    first, second = random_features(10, 50, 1), random_features(15, 50, 2)
    one = (first - first.mean(0)) / np.sqrt(9)
    two = (second - second.mean(0)) / np.sqrt(14)
    # tr (Σ_a Σ_b)^½ is the nuclear norm of the product of the centred features themselves.
    overlap = torch.linalg.svdvals(one @ two.T).sum()
    shift = (first.mean(0) - second.mean(0)).square().sum()
    expected = shift + one.square().sum() + two.square().sum() - 2 * overlap
    found = frechet_distance(statistics(first), statistics(second))
    assert found == pytest.approx(float(expected), rel=1e-9)


def test_features_that_never_vary_add_only_their_shift() -> None:
    first, second = random_features(300, 12, 1), random_features(200, 12, 2)
    alone = frechet_distance(statistics(first), statistics(second))
    dead_one = torch.cat([first, torch.zeros(300, 8).double()], dim=1)
    dead_two = torch.cat([second, torch.full((200, 8), 0.5).double()], dim=1)
    found = frechet_distance(statistics(dead_one), statistics(dead_two))
    assert found == pytest.approx(alone + 8 * 0.25, rel=1e-8)


def test_constant_features_have_no_root_to_speak_of() -> None:
    constant, varying = torch.zeros(5, 3), random_features(50, 3, 1)
    expected = float(varying.mean(0).square().sum() + varying.var(0).sum())
    for first, second in ((constant, varying), (varying, constant)):
        assert frechet_distance(statistics(first), statistics(second)) == pytest.approx(expected)


def test_the_kept_root_serves_many() -> None:
    reference = FrechetReference(statistics(random_features(100, 8, 1)))
    for seed in (2, 3):
        other = statistics(random_features(90, 8, seed))
        assert reference.distance(other) == frechet_distance(reference.statistics, other)
        bare = reference.distance_of_moments(other.mean, other.covariance)
        assert bare == pytest.approx(reference.distance(other), rel=1e-9)


def test_a_predicted_covariance_need_not_be_positive() -> None:
    reference = FrechetReference(gaussian(torch.zeros(2), torch.eye(2)))
    covariance = torch.tensor([[4.0, 0.0], [0.0, -0.5]])
    # 2 + (4 − 0.5) − 2·√4: the negative direction overlaps nothing.
    assert reference.distance_of_moments(torch.zeros(2), covariance) == pytest.approx(1.5)


def test_what_cannot_be_compared_is_refused() -> None:
    features = random_features(20, 4, 1)
    known, unknown = statistics(features), statistics(features, Protocol())
    with pytest.raises(ProtocolError, match="detector_digest"):
        frechet_distance(known, statistics(features, Protocol("other", "c" * 64)))
    with pytest.raises(ProtocolError, match="resize: none ≠ bilinear"):
        frechet_distance(known, statistics(features, Protocol("d", "a" * 64, "bilinear")))
    with pytest.raises(ProtocolError, match="allow_unknown"):
        frechet_distance(known, unknown)
    assert frechet_distance(known, unknown, allow_unknown=True) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ProtocolError, match="4 and of 3 dimensions"):
        frechet_distance(known, statistics(features[:, :3]))
    with pytest.raises(DataError, match="not finite"):
        FrechetReference(known).distance_of_moments(known.mean, known.covariance * torch.nan)
