import pytest
import torch
from torch import Tensor

from deme.search.objectives.frechet_remainder import FrechetRemainder

SIZE, RANK = 30, 8
ROOTS = torch.linspace(2.0, 0.5, SIZE, dtype=torch.float64)


def covariance(seed: int, coupling: float) -> Tensor:
    """The reference's variances, with correlations of about ``coupling``."""
    draws = torch.Generator().manual_seed(seed)
    noise = torch.randn(SIZE, SIZE, generator=draws, dtype=torch.float64)
    correlations = torch.eye(SIZE) + coupling * (noise + noise.T).fill_diagonal_(0) / 2
    return ROOTS[:, None] * correlations * ROOTS


def left_out(matrix: Tensor) -> float:
    """``2 tr M^½`` of the pinched matrix less that of the whole: what the distance lacks."""
    whole = ROOTS[:, None] * matrix * ROOTS
    pinched = torch.diag(whole.diagonal())
    pinched[:RANK, :RANK] = whole[:RANK, :RANK]
    traces = [torch.linalg.eigvalsh(item).sqrt().sum() for item in (pinched, whole)]
    return float(2 * (traces[0] - traces[1]))


def test_it_is_what_is_left_out_to_second_order() -> None:
    remainder = FrechetRemainder(ROOTS, RANK)
    remainder.add(covariance(0, 0.01))
    found = float(remainder(torch.ones(1, 1, dtype=torch.float64)))
    assert found == pytest.approx(left_out(covariance(0, 0.01)), rel=0.05)


def test_mixtures_follow_the_mixed_covariance() -> None:
    remainder = FrechetRemainder(ROOTS, RANK)
    sets = [covariance(seed, 0.01) for seed in range(3)]
    for item in sets:
        remainder.add(item)
    for c in ([0.5, 0.3, 0.2], [1.5, -1.0, 0.5]):
        coefficients = torch.tensor(c, dtype=torch.float64)
        mixed = torch.einsum("j,jkl->kl", coefficients, torch.stack(sets))
        found = float(remainder(coefficients[None]))
        assert found == pytest.approx(left_out(mixed), rel=0.05)
