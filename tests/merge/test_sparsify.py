from functools import partial

import pytest
import torch
from torch import Tensor

from deme.merge.methods import sparsify
from deme.merge.methods.sparsify import (
    breadcrumbs_mask,
    magnitude_mask,
    random_mask,
    ranked_factors,
    size_band,
)


@pytest.fixture(params=[4, 1 << 16], ids=["small blocks", "one block"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparsify, "BLOCK", request.param)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def of_seed(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kept(delta: Tensor, mask: Tensor | None) -> list[float]:
    return (delta if mask is None else delta * mask).tolist()


def test_magnitude_keeps_the_largest() -> None:
    delta = torch.tensor([1.0, -5.0, 2.0, 0.0, -3.0])
    assert kept(delta, magnitude_mask(delta, 0.4)) == [0, -5, 0, 0, -3]
    assert kept(delta, magnitude_mask(delta, 0.79)) == [0, -5, 2, 0, -3]
    assert kept(delta, magnitude_mask(delta, 0.01)) == [0, -5, 0, 0, 0]
    assert magnitude_mask(delta, 1.0) is None
    assert magnitude_mask(torch.empty(0), 0.5) is None


def test_breadcrumbs_keeps_what_is_below_the_outliers() -> None:
    delta = torch.tensor([1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0, 9.0, -10.0])
    mask = breadcrumbs_mask(delta, 0.5, 0.2)
    assert kept(delta, mask) == [0, 0, 0, -4, 5, -6, 7, -8, 0, 0]
    fewer_outliers = breadcrumbs_mask(delta, 0.9, 0.2)
    assert kept(delta, fewer_outliers) == [*delta[:9].tolist(), 0]
    assert breadcrumbs_mask(delta, 1.0, 0.2) is None


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize("start", [0, 1, 7, 30, 40])
@pytest.mark.parametrize("stop", [41, 50, 59, 60])
def test_a_band_has_its_length_even_among_equals(start: int, stop: int) -> None:
    """Against a stable sort: 60 elements of five sizes, none of them 0."""
    delta = (normal(60).abs() * 2).round().clamp(0, 4) + 1
    delta *= normal(60, seed=1).sign()
    mask = size_band(delta, start, stop)
    sizes = delta.abs().sort().values[start:stop]
    if mask is None:
        assert (start, stop) == (0, 60)
        return
    assert int(mask.sum()) == stop - start
    assert delta[mask].abs().sort().values.equal(sizes)
    for size in delta.abs().unique():
        of_size = mask[delta.abs() == size].int()
        assert of_size.equal(of_size.sort().values), "the later ones are kept"


@pytest.mark.usefixtures("block")
def test_a_band_of_one_size_is_cut_at_both_ends() -> None:
    delta = torch.full((10,), -2.0)
    mask = size_band(delta, 3, 8)
    assert mask is not None and int(mask.sum()) == 5


@pytest.mark.usefixtures("block")
def test_zeros_need_no_choice() -> None:
    delta = torch.zeros(10)
    delta[4] = 3.0
    assert kept(delta, magnitude_mask(delta, 0.5)) == delta.tolist()


@pytest.mark.usefixtures("block")
def test_what_is_no_number_stays_to_be_found() -> None:
    delta = normal(20)
    delta[3] = torch.nan
    for mask in (magnitude_mask(delta, 0.3), breadcrumbs_mask(delta, 0.3, 0.2)):
        assert mask is not None and bool(mask[3])


def test_chance_keeps_the_density() -> None:
    mask = random_mask(200_000, 0.3, of_seed(1))
    assert mask is not None
    assert float(mask.float().mean()) == pytest.approx(0.3, abs=0.005)
    again, other = random_mask(200_000, 0.3, of_seed(1)), random_mask(200_000, 0.3, of_seed(2))
    assert again is not None and mask.equal(again)
    assert other is not None and not mask.equal(other)
    assert random_mask(5, 1.0, of_seed(1)) is None


def test_the_chance_rises_with_the_rank_in_each_row() -> None:
    """Three elements kept with 0.3, 0.5 and 0.7, whatever the other rows hold."""
    rows = torch.tensor([[3.0, -2.0, 1.0], [-10.0, 20.0, 30.0]]).repeat(20_000, 1)
    factors = ranked_factors(rows, 0.5, 0.2, of_seed(0), rescale=False)
    assert factors is not None and set(factors.unique().tolist()) == {0.0, 1.0}
    torch.testing.assert_close(
        factors.view(-1, 2, 3).mean(dim=0),
        torch.tensor([[0.7, 0.5, 0.3], [0.3, 0.5, 0.7]]),
        rtol=0,
        atol=0.015,
    )


def test_rescaling_by_the_chance_keeps_the_mean() -> None:
    rows = torch.tensor([[3.0, -2.0, 1.0]]).repeat(40_000, 1)
    factors = ranked_factors(rows, 0.5, 0.2, of_seed(0), rescale=True)
    assert factors is not None
    assert sorted(factors.unique().tolist()) == pytest.approx([0, 1 / 0.7, 1 / 0.5, 1 / 0.3])
    torch.testing.assert_close(factors.mean(dim=0), torch.ones(3), rtol=0, atol=0.03)


def test_a_row_of_one_element_is_kept_with_the_density() -> None:
    factors = ranked_factors(torch.ones(40_000, 1), 0.6, 0.3, of_seed(0), rescale=False)
    assert factors is not None
    assert float(factors.mean()) == pytest.approx(0.6, abs=0.01)


@pytest.mark.parametrize("shape", [(1, 0), (3, 0), (0, 4)])
def test_nothing_has_no_factors(shape: tuple[int, int]) -> None:
    ranked = partial(ranked_factors, density=0.5, epsilon=0.1, generator=of_seed(0))
    for rescale in (False, True):
        factors = ranked(torch.empty(shape), rescale=rescale)
        assert factors is not None and factors.shape == shape
