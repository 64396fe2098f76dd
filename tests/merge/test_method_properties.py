"""Properties of all merge methods, over shapes, precisions, numbers of experts and weights."""

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from deme.merge.methods import span, sparsify
from merge.random_merges import METHODS, merges, traits_of

PROPERTY = settings(max_examples=20, deadline=None, derandomize=True, database=None)
CLOSE = 2e-5
ALL = pytest.mark.parametrize("name", METHODS)


def methods_with(trait: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "name", [name for name in METHODS if getattr(traits_of(name), trait)]
    )


def assert_near(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=CLOSE, atol=CLOSE)


@ALL
@PROPERTY
@given(data=st.data())
def test_the_result_is_new_and_finite_and_nothing_given_changes(
    name: str, data: st.DataObject
) -> None:
    merge = data.draw(merges(name))
    given = [merge.base, *merge.deltas, *merge.statistics]
    before = [tensor.clone() for tensor in given]
    merged = merge.result()
    assert merged.shape == merge.base.shape and merged.dtype == torch.float32
    assert bool(torch.isfinite(merged).all())
    assert all(torch.equal(a, b) for a, b in zip(before, given, strict=True))
    merged.fill_(7.0)
    assert all(torch.equal(a, b) for a, b in zip(before, given, strict=True)), "shared memory"


@ALL
@PROPERTY
@given(data=st.data())
def test_a_merge_repeats_bit_for_bit_wherever_torchs_own_draws_stand(
    name: str, data: st.DataObject
) -> None:
    merge = data.draw(merges(name))
    first = merge.result()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert torch.equal(first, merge.result())


@ALL
@PROPERTY
@given(data=st.data())
def test_weights_of_zero_give_the_base(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    without = replace(merge, weights=[0.0] * len(merge.weights))
    assert torch.equal(without.result(), merge.base)


@ALL
@PROPERTY
@given(data=st.data())
def test_experts_that_changed_nothing_give_the_base(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    unchanged = replace(merge, deltas=[torch.zeros_like(merge.base) for _ in merge.deltas])
    assert_near(unchanged.result(), merge.base)


@ALL
@PROPERTY
@given(data=st.data())
def test_how_tensors_lie_in_memory_does_not_matter(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    assume(merge.base.dim() >= 2)
    turned = merge.mapped(lambda tensor: tensor.transpose(0, -1).contiguous().transpose(0, -1))
    assert_near(turned.result(), merge.result())


@ALL
@PROPERTY
@given(data=st.data(), size=st.sampled_from([1, 5]))
def test_the_pieces_that_large_tensors_are_cut_in_do_not_matter(
    name: str, data: st.DataObject, size: int
) -> None:
    merge = data.draw(merges(name))
    whole = merge.result()
    with patch.object(sparsify, "BLOCK", size), patch.object(span, "BLOCK", size):
        assert_near(merge.result(), whole)


@methods_with("any_number")
@PROPERTY
@given(data=st.data())
def test_an_expert_of_weight_zero_drops_out(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    more = replace(
        merge,
        deltas=[*merge.deltas, torch.full_like(merge.base, 3.0)],
        weights=[*merge.weights, 0.0],
        statistics=[*merge.statistics, torch.ones_like(merge.statistics[0])],
    )
    assert_near(more.result(), merge.result())


@methods_with("one_hot")
@PROPERTY
@given(data=st.data())
def test_a_weight_of_one_for_one_expert_gives_it(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    chosen = data.draw(st.integers(0, len(merge.weights) - 1), "chosen")
    weights = [float(index == chosen) for index in range(len(merge.weights))]
    expert = replace(merge, weights=weights, parameters={}).result()
    assert_near(expert, merge.base + merge.deltas[chosen])


@methods_with("symmetric")
@PROPERTY
@given(data=st.data())
def test_the_order_of_the_experts_does_not_matter(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    order = data.draw(st.permutations(range(len(merge.weights))), "order")
    assert_near(merge.reordered(order).result(), merge.result())


@methods_with("odd")
@PROPERTY
@given(data=st.data())
def test_turning_all_differences_turns_the_change(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    turned = replace(merge, deltas=[-delta for delta in merge.deltas])
    assert_near(turned.result() - merge.base, merge.base - merge.result())


@methods_with("homogeneous")
@PROPERTY
@given(data=st.data())
def test_scaling_everything_scales_the_result(name: str, data: st.DataObject) -> None:
    """Down to differences far below any threshold of 1e-6 or 1e-8."""
    merge = data.draw(merges(name))
    small = merge.mapped(lambda tensor: tensor * 2.0**-20)
    assert_near(small.result() * 2.0**20, merge.result())


@methods_with("shows_nan")
@PROPERTY
@given(data=st.data())
def test_what_is_not_a_number_is_not_hidden(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    assume(merge.base.numel() > 0 and any(merge.weights))
    taking_part = next(index for index, weight in enumerate(merge.weights) if weight != 0)
    merge.deltas[taking_part].view(-1)[-1] = torch.nan
    assert bool(merge.result().isnan().any())


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].elementwise])
@PROPERTY
@given(data=st.data())
def test_elementwise_methods_give_the_same_in_flat_pieces(name: str, data: st.DataObject) -> None:
    merge = data.draw(merges(name))
    cut = data.draw(st.integers(0, merge.base.numel()), "cut")
    pieces = []
    for place in (slice(0, cut), slice(cut, None)):
        piece = merge.mapped(lambda tensor, place=place: tensor.flatten()[place])
        statistics = [tensor.flatten()[place] for tensor in merge.statistics]
        pieces.append(replace(piece, statistics=statistics).result())
    assert torch.equal(torch.cat(pieces), merge.result().flatten())


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].linear])
@PROPERTY
@given(data=st.data(), factor=st.sampled_from([-2.0, 0.5, 3.0]))
def test_linear_methods_are_linear_in_the_differences(
    name: str, data: st.DataObject, factor: float
) -> None:
    merge = data.draw(merges(name))
    other = [delta.roll(1) + 0.1 for delta in merge.deltas]

    def change(deltas: list[Tensor]) -> Tensor:
        return replace(merge, base=torch.zeros_like(merge.base), deltas=deltas).result()

    mixed = [factor * a + b for a, b in zip(merge.deltas, other, strict=True)]
    assert_near(change(mixed), factor * change(merge.deltas) + change(other))
    assert_near(merge.result(), merge.base + change(merge.deltas))
