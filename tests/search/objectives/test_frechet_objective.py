from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from deme.errors import DataError, ProtocolError
from deme.metrics import FeatureStatistics, FrechetReference
from deme.search.objectives import FrechetObjective
from search.objectives.feature_sets import TABLE, feature_sets, real_features


def reference_of(real: Tensor) -> FrechetReference:
    return FrechetReference(FeatureStatistics.from_features(real))


def distance_of(reference: FrechetReference, features: Tensor) -> float:
    return reference.distance(FeatureStatistics.from_features(features), allow_unknown=True)


def brute_force(real: Tensor, sets: list[dict[str, Tensor]], coefficients: Tensor) -> float:
    """From raw moments about zero; ``tr (R C R)^½`` as the nuclear norm of two factors' product."""
    tables = torch.stack([tables[TABLE] for tables in sets])
    count = tables.shape[1]
    mean = torch.einsum("j,jnd->d", coefficients, tables) / count
    second = torch.einsum("j,jnd,jne->de", coefficients, tables, tables) / count
    covariance = (second - torch.outer(mean, mean)) * count / (count - 1)
    values, vectors = np.linalg.eigh(covariance.numpy())
    factor = vectors * np.sqrt(values.clip(min=0))
    own = np.cov(real.numpy().T)
    overlap = np.linalg.norm(np.linalg.cholesky(own).T @ factor, "nuc")
    shift = float((real.mean(0) - mean).square().sum())
    return shift + float(np.trace(own) + np.sum(factor**2) - 2 * overlap)


@pytest.mark.parametrize(
    ("rows", "features", "real_rows"),
    [(200, 8, 300), (200, 1, 300), (20, 48, 300), (60, 24, 12)],
    ids=["usual", "one feature", "fewer images than features", "fewer real images"],
)
def test_equal_weights_give_the_metrics_distance(rows: int, features: int, real_rows: int) -> None:
    reference = reference_of(real_features(real_rows, features))
    objective = FrechetObjective(reference, TABLE)
    for tables in feature_sets(2, rows, features):
        expected = distance_of(reference, tables[TABLE])
        assert float(objective.value(tables)) == pytest.approx(expected, rel=1e-8)
        equal = {TABLE: torch.full((rows,), 1 / rows, dtype=torch.float64)}
        assert float(objective.value(tables, equal)) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("features", [6, 48])
def test_row_weights_mean_repeated_rows(features: int) -> None:
    """Whole multiples: as if the rows were there that often, but for Bessel's factor."""
    reference = reference_of(real_features(300, features))
    tables = feature_sets(1, 30, features)[0]
    counts = torch.randint(0, 3, (30,), generator=torch.Generator().manual_seed(0))
    repeated = tables[TABLE].repeat_interleave(counts, dim=0)
    mean, covariance = repeated.mean(0), torch.cov(repeated.T, correction=0) * 30 / 29
    expected = reference.distance_of_moments(mean, covariance, int((counts > 0).sum()))
    weights = {TABLE: counts.double() / counts.sum()}
    value = FrechetObjective(reference, TABLE).value(tables, weights)
    assert float(value) == pytest.approx(expected, rel=1e-7)


@pytest.mark.parametrize(("rows", "features"), [(9, 4), (6, 10)])
def test_the_gradient_in_row_weights_is_that_of_finite_differences(
    rows: int, features: int
) -> None:
    objective = FrechetObjective(reference_of(real_features(50, features)), TABLE)
    tables = feature_sets(1, rows, features)[0]
    draws = torch.Generator().manual_seed(3)
    weights = torch.rand(rows, generator=draws, dtype=torch.float64) + 0.5
    weights = (weights / weights.sum()).requires_grad_()
    assert torch.autograd.gradcheck(lambda w: objective.value(tables, {TABLE: w}), (weights,))


def test_gradients_are_finite_where_the_root_has_none() -> None:
    """A weight of zero, a constant feature, and fewer rows than features."""
    for rows, features in ((30, 5), (6, 20)):
        objective = FrechetObjective(reference_of(real_features(50, features)), TABLE)
        table = feature_sets(1, rows, features)[0][TABLE].clone()
        table[:, 0] = 3.0
        weights = torch.full((rows,), 1 / (rows - 1), dtype=torch.float64)
        weights[0] = 0
        weights.requires_grad_()
        (gradient,) = torch.autograd.grad(
            objective.value({TABLE: table}, {TABLE: weights}), weights
        )
        assert gradient.isfinite().all() and float(gradient.abs().max()) < 1e3


def test_the_mixture_equals_brute_force_on_signed_coefficients() -> None:
    real, sets = real_features(200, 7), feature_sets(5, 90, 7)
    mixture = FrechetObjective(reference_of(real), TABLE).mixture()
    for tables in sets:
        mixture.add(tables)
    draws = torch.Generator().manual_seed(4)
    coefficients = torch.randn(12, 5, generator=draws, dtype=torch.float64)
    coefficients += (1 - coefficients.sum(1, keepdim=True)) / 5
    values = mixture(coefficients)
    for row, value in zip(coefficients, values, strict=True):
        expected = brute_force(real, sets, row)
        assert float(value) == pytest.approx(expected, rel=1e-8)
    assert mixture.left_out == 0


def test_negative_variances_count_as_none() -> None:
    real, sets = real_features(200, 7), feature_sets(2, 90, 7)
    mixture = FrechetObjective(reference_of(real), TABLE).mixture()
    for tables in sets:
        mixture.add(tables)
    coefficients = torch.tensor([6.0, -5.0], dtype=torch.float64)
    second = 6 * torch.cov(sets[0][TABLE].T) - 5 * torch.cov(sets[1][TABLE].T)
    assert float(torch.linalg.eigvalsh(second).min()) < -0.1
    expected = brute_force(real, sets, coefficients)
    assert float(mixture(coefficients)) == pytest.approx(expected, rel=1e-8)
    assert expected > 0


@pytest.mark.parametrize(
    ("rows", "features", "rank"),
    [(80, 6, 256), (12, 40, 256), (200, 24, 8), (12, 40, 10)],
    ids=["usual", "fewer images than features", "fewer directions", "fewer of both"],
)
def test_unit_vectors_give_each_sets_value(rows: int, features: int, rank: int) -> None:
    reference = reference_of(real_features(300, features))
    objective = FrechetObjective(reference, TABLE, rank=rank)
    mixture, sets = objective.mixture(), feature_sets(4, rows, features)
    for tables in sets:
        mixture.add(tables)
    values = mixture(torch.eye(4))
    for value, tables in zip(values, sets, strict=True):
        assert float(value) == pytest.approx(float(objective.value(tables)), rel=1e-8)


@pytest.mark.parametrize(
    ("coefficients", "rank"),
    [((0.5, 0.2, 0.3), 256), ((5.0, -3.0, -1.0), 256), ((0.7, 0.6, -0.3), 3)],
)
def test_the_mixtures_gradient_is_that_of_finite_differences(
    coefficients: tuple[float, ...], rank: int
) -> None:
    objective = FrechetObjective(reference_of(real_features(60, 5)), TABLE, rank=rank)
    mixture = objective.mixture()
    for tables in feature_sets(3, 40, 5):
        mixture.add(tables)
    point = torch.tensor([coefficients, (1.0, 0.0, 0.0)], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(mixture, (point,), rtol=1e-4)


def test_a_batch_of_any_shape_is_its_parts() -> None:
    mixture = FrechetObjective(reference_of(real_features(60, 5)), TABLE).mixture()
    for tables in feature_sets(3, 40, 5):
        mixture.add(tables)
    draws = torch.Generator().manual_seed(0)
    batch = torch.rand(2, 4, 3, generator=draws, dtype=torch.float64)
    values = mixture(batch)
    assert values.shape == (2, 4) and values.dtype == torch.float64
    torch.testing.assert_close(values[1, 2], mixture(batch[1, 2]), rtol=1e-10, atol=0)
    assert mixture(torch.zeros(0, 3)).shape == (0,)


def test_more_directions_bring_the_prediction_nearer() -> None:
    reference, sets = reference_of(real_features(600, 40)), feature_sets(5, 400, 40)
    coefficients = torch.tensor([[0.6, 0.5, 0.4, -0.3, -0.2], [0.2, 0.2, 0.2, 0.2, 0.2]])
    predictions, left_out = [], []
    for rank in (4, 20, 40):
        mixture = FrechetObjective(reference, TABLE, rank=rank).mixture()
        for tables in sets:
            mixture.add(tables)
        predictions.append(mixture(coefficients))
        left_out.append(mixture.left_out)
    errors = [float((found - predictions[-1]).abs().max()) for found in predictions]
    assert all(before > after for before, after in pairwise(errors))
    assert left_out[0] > left_out[1] > left_out[2] == 0


def test_what_does_not_fit_is_refused() -> None:
    objective = FrechetObjective(reference_of(real_features(60, 5)), TABLE)
    tables = feature_sets(1, 40, 5)[0]
    mixture = objective.mixture()
    mixture.add(tables)
    with pytest.raises(DataError, match=r"was not measured with 'detector'.*Choices: other"):
        objective.value({"other": tables[TABLE]})
    with pytest.raises(DataError, match="at least 2"):
        objective.value({TABLE: tables[TABLE][:1]})
    with pytest.raises(ProtocolError, match="dimensions"):
        objective.value({TABLE: tables[TABLE][:, :3]})
    with pytest.raises(DataError, match="40 rows and weights of shape"):
        objective.value(tables, {TABLE: torch.ones(3)})
    with pytest.raises(DataError, match="39 rows cannot be mixed with sets of 40"):
        mixture.add({TABLE: tables[TABLE][:39]})
    with pytest.raises(DataError, match="not finite"):
        mixture.add({TABLE: tables[TABLE] * torch.nan})
    with pytest.raises(DataError, match="mixture of 1 sets"):
        mixture(torch.ones(2))
    assert float(mixture(torch.ones(1))) == pytest.approx(float(objective.value(tables)))


def test_features_that_are_not_finite_are_worth_infinity() -> None:
    objective = FrechetObjective(reference_of(real_features(60, 5)), TABLE)
    table = feature_sets(1, 40, 5)[0][TABLE].clone()
    table[3, 2] = torch.nan
    assert float(objective.value({TABLE: table})) == float("inf")
