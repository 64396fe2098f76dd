"""TIES and what it shares with others: electing a sign, averaging those that agree."""

import pytest
import torch
from torch import Tensor

from deme.errors import ConfigError
from deme.merge.methods.breadcrumbs import breadcrumbs
from deme.merge.methods.breadcrumbs_ties import breadcrumbs_ties
from deme.merge.methods.ties import ties

BASE = torch.tensor([10.0, 20.0, 30.0, 40.0])
DELTAS = [
    torch.tensor([3.0, -1.0, 0.5, 0.0]),
    torch.tensor([1.0, -2.0, 0.5, 2.0]),
    torch.tensor([-2.0, 5.0, -1.0, -4.0]),
]
ONES = [1.0, 1.0, 1.0]


def change(merged: Tensor) -> list[float]:
    return (merged - BASE).tolist()


def test_hand_worked_means_of_those_that_agree() -> None:
    """Sums 2, 2, 0 and −2 elect +, +, + (a draw) and −; an element of 0 never agrees."""
    assert change(ties(BASE, DELTAS, ONES)) == [2.0, 5.0, 0.5, -4.0]
    assert change(ties(BASE, DELTAS, ONES, normalize=False)) == [4.0, 5.0, 1.0, -4.0]


def test_weights_vote_and_weigh() -> None:
    """Sums 2, 1, 0.25, −2 of 0.5 τ_1, 1.5 τ_2 and 0.75 τ_3, but 1.5·2 against 0.75·4 draws."""
    merged = ties(BASE, DELTAS, [0.5, 1.5, 0.75])
    expected = [(0.5 * 3 + 1.5 * 1) / 2, 5.0, 0.5, 2.0]
    assert change(merged) == pytest.approx(expected, rel=1e-5)


def test_frequency_counts_experts_whatever_their_size() -> None:
    """Signs + + −, − − +, + + −, 0 + − (a draw)."""
    merged = ties(BASE, DELTAS, ONES, majority_sign_method="frequency")
    assert change(merged) == [2.0, -1.5, 0.5, 2.0]


def test_each_expert_has_a_density() -> None:
    """Kept: (3, 0, 0, 0), all of τ_2, (0, 5, 0, −4)."""
    merged = ties(BASE, DELTAS, ONES, density=[0.25, 1.0, 0.5])
    assert change(merged) == [2.0, 5.0, 0.5, -4.0]
    merged = ties(BASE, DELTAS, ONES, density=0.25)
    assert change(merged) == [3.0, 5.0, 0.0, 2.0]


def test_lambda_scales_the_change() -> None:
    assert change(ties(BASE, DELTAS, ONES, lambda_=0.5)) == [1.0, 2.5, 0.25, -2.0]


def test_a_negative_weight_is_the_turned_expert() -> None:
    turned = [DELTAS[0], -DELTAS[1], DELTAS[2]]
    for normalize in (False, True):
        assert torch.equal(
            ties(BASE, DELTAS, [1.0, -0.5, 2.0], normalize=normalize),
            ties(BASE, turned, [1.0, 0.5, 2.0], normalize=normalize),
        )


def test_only_the_ratio_of_the_weights_counts_in_a_mean() -> None:
    torch.testing.assert_close(
        ties(BASE, DELTAS, [0.1, 0.2, 0.3]), ties(BASE, DELTAS, [1.0, 2.0, 3.0])
    )


def test_experts_of_one_sign_are_averaged_plainly() -> None:
    deltas = [delta.abs() + 0.1 for delta in DELTAS]
    mean = BASE + sum(deltas) / 3
    torch.testing.assert_close(ties(BASE, deltas, ONES), mean)


def test_nothing_interferes_among_disjoint_experts() -> None:
    """Each keeps what it alone changed, in full: the point of TIES against a plain mean."""
    deltas = [torch.diag(torch.tensor([1.0, -2.0, 3.0, -4.0]))[index] for index in range(4)]
    assert change(ties(BASE, deltas, [0.25] * 4)) == [1.0, -2.0, 3.0, -4.0]


def test_an_unknown_election_is_refused_with_the_choices() -> None:
    with pytest.raises(ConfigError, match=r"'totl'. Did you mean 'total'\? Choices: total, freq"):
        ties(BASE, DELTAS, ONES, majority_sign_method="totl")  # pyright: ignore[reportArgumentType]


def test_breadcrumbs_sums_what_is_neither_large_nor_small() -> None:
    """The largest of four goes, two stay: (0, −1, 0.5, 0), (1, −2, 0, 0) and (−2, 0, 0, −4)."""
    deltas = [*DELTAS[:1], torch.tensor([1.0, -2.0, 0.5, 2.5]), DELTAS[2]]
    merged = breadcrumbs(BASE, deltas, [1.0, 1.0, 0.5], density=0.5, gamma=0.25)
    assert change(merged) == [0.0, -3.0, 0.5, -2.0]
    elected = breadcrumbs_ties(BASE, deltas, [1.0, 1.0, 0.5], density=0.5, gamma=0.25)
    assert change(elected) == [1.0, -3.0, 0.5, -2.0]
    mean = breadcrumbs_ties(BASE, deltas, [1.0, 1.0, 0.5], density=0.5, gamma=0.25, normalize=True)
    assert change(mean) == [1.0, -1.5, 0.5, -4.0]
