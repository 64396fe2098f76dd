import torch
from torch import Tensor

from deme.search.surface import Region, lowest_predicted


def bowl(points: Tensor) -> Tensor:
    return (points - torch.tensor([0.3, -0.7], dtype=torch.float64)).square().sum(dim=-1)


def test_it_finds_the_bottom_of_a_bowl() -> None:
    point, value = lowest_predicted(bowl, Region((-1.0, -1.0), (1.0, 1.0)), seed=0)
    assert abs(point[0] - 0.3) < 1e-4 and abs(point[1] + 0.7) < 1e-4 and value < 1e-7


def test_it_stays_in_the_region() -> None:
    point, _ = lowest_predicted(bowl, Region((0.5, -0.5), (1.0, 1.0)), seed=0)
    assert point == (0.5, -0.5)


def test_it_finds_the_lower_of_two_valleys() -> None:
    def two(points: Tensor) -> Tensor:
        x = points[..., 0]
        return (x * x - 1).square() + 0.2 * x

    point, _ = lowest_predicted(two, Region((-2.0,), (2.0,)), seed=1)
    assert -1.1 < point[0] < -0.95


def test_a_region_of_one_point_is_that_point() -> None:
    point, _ = lowest_predicted(bowl, Region((0.1, 0.2), (0.1, 0.2)), seed=1)
    assert point == (0.1, 0.2)


def test_points_to_start_from_are_moved_inside() -> None:
    region = Region((0.0, 0.0), (1.0, 1.0))
    point, _ = lowest_predicted(bowl, region, seed=1, also=[(9.0, -9.0)])
    assert abs(point[0] - 0.3) < 1e-4 and point[1] == 0.0
