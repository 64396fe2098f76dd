import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError, DataError, ProtocolError
from deme.metrics import nearest_distances, neighbour_radii


def random_features(count: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 7, generator=draw)


def distances(first: Tensor, second: Tensor) -> Tensor:
    """By the definition, in float64."""
    return (first.double()[:, None] - second.double()[None]).square().sum(-1).sqrt()


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("k", [1, 5])
def test_nearest_distances_equal_a_full_table(k: int, chunk: int) -> None:
    queries, references = random_features(19, 1), random_features(23, 2)
    expected = distances(queries, references).sort(dim=1).values[:, :k]
    torch.testing.assert_close(nearest_distances(queries, references, k, chunk=chunk), expected)


@pytest.mark.parametrize("chunk", [1, 6, 100])
def test_radii_leave_the_point_itself_out(chunk: int) -> None:
    points = random_features(20, 1)
    table = distances(points, points)
    table.fill_diagonal_(torch.inf)
    expected = table.sort(dim=1).values[:, 2]
    torch.testing.assert_close(neighbour_radii(points, 3, chunk=chunk), expected)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e5])
def test_equal_rows_are_at_distance_zero_wherever_they_lie(offset: float) -> None:
    points = random_features(30, 1) + offset
    assert nearest_distances(points, points).count_nonzero() == 0
    doubled = torch.cat([points, points])
    assert neighbour_radii(doubled, 1).count_nonzero() == 0


def test_a_common_offset_costs_no_digits() -> None:
    queries, references = random_features(9, 1).double(), random_features(11, 2).double()
    far = nearest_distances(queries + 1e6, references + 1e6, 3)
    torch.testing.assert_close(far, nearest_distances(queries, references, 3), rtol=1e-8, atol=1e-8)


def test_too_few_points_and_wrong_k() -> None:
    points = random_features(3, 1)
    with pytest.raises(ConfigError, match="k is 0"):
        nearest_distances(points, points, 0)
    with pytest.raises(DataError, match="3 images and at least 4"):
        nearest_distances(points, points, 4)
    with pytest.raises(DataError, match="3 images and at least 4"):
        neighbour_radii(points, 3)
    with pytest.raises(ProtocolError, match="dimensions"):
        nearest_distances(points, points[:, :2])
