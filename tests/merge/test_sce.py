import pytest
import torch

from deme.merge.methods.sce import sce

BASE = torch.tensor([10.0, 20.0, 30.0, 40.0])
DELTAS = [torch.tensor([2.0, 1.0, 0.0, -1.0]), torch.tensor([1.0, 1.0, -1.0, 0.0])]
ONES = [1.0, 1.0]


def change(merged: torch.Tensor) -> list[float]:
    return (merged - BASE).tolist()


def test_hand_worked_shares_of_the_squares() -> None:
    """Sums of squares 6 and 3: shares 2/3 and 1/3; where one is 0, the other counts alone."""
    expected = [(2 * 2 + 1 * 1) / 3, 1.0, -1.0, -1.0]
    assert change(sce(BASE, DELTAS, ONES)) == pytest.approx(expected, rel=1e-5)


def test_only_where_they_differ_most_is_selected() -> None:
    """Variances 0.25, 0, 0.25, 0.25: of three that differ a third is one, the last of equals."""
    assert change(sce(BASE, DELTAS, ONES, select_topk=0.34)) == [0.0, 0.0, 0.0, -1.0]
    deltas = [DELTAS[0], torch.tensor([1.0, 1.0, -1.5, 0.2])]
    expected = [0.0, 0.0, -1.5, -1.0]
    assert change(sce(BASE, deltas, ONES, select_topk=0.67)) == pytest.approx(expected)


def test_the_squares_are_those_of_what_is_selected() -> None:
    """Of the first two elements: 8 and 5, whatever the third holds."""
    deltas = [torch.tensor([2.0, 2.0, 9.0, 9.0]), torch.tensor([1.0, -2.0, 9.0, 9.0])]
    merged = sce(BASE, deltas, ONES, select_topk=1.0 - 1e-9)
    assert change(merged)[:2] == [0.0, 2.0], "one of two is selected: 2 and −2 draw"
    deltas = [torch.tensor([2.0, 3.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])]
    merged = sce(BASE, deltas, ONES)
    expected = [(13 * 2 + 2 * 1) / 15, (13 * 3 + 2 * 1) / 15, 0.0, 0.0]
    assert change(merged) == pytest.approx(expected, rel=1e-5)


def test_the_minority_sign_is_erased() -> None:
    deltas = [torch.tensor([2.0, -1.0, 1.0, 0.0]), torch.tensor([-1.0, -3.0, 1.0, 0.0])]
    first, second = 6 / 17, 11 / 17
    expected = [2.0, -1 * first - 3 * second, 1.0, 0.0]
    assert change(sce(BASE, deltas, ONES)) == pytest.approx(expected, rel=1e-5)


def test_weights_scale_shares_and_turn_vectors() -> None:
    merged = sce(BASE, DELTAS, [0.5, 3.0])
    first, second = 0.5 * 6, 3.0 * 3
    expected = [(first * 2 + second * 1) / (first + second), 1.0, -1.0, -1.0]
    assert change(merged) == pytest.approx(expected, rel=1e-5)
    turned = [DELTAS[0], -DELTAS[1]]
    for share in (0.5, 1.0):
        assert torch.equal(
            sce(BASE, DELTAS, [1.0, -2.0], select_topk=share),
            sce(BASE, turned, [1.0, 2.0], select_topk=share),
        )


def test_experts_that_do_not_differ_leave_the_base_where_a_share_is_selected() -> None:
    assert change(sce(BASE, [DELTAS[0], DELTAS[0]], ONES, select_topk=0.5)) == [0.0] * 4
