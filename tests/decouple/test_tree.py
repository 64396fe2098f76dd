"""eDiff-I's binary tree over the ranges of a partition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from accelerate import Accelerator
from hypothesis import given
from hypothesis import strategies as st

from deme.decouple import Partition, TrainingJob, train_expert
from deme.decouple.tree import expert_tree, path_to
from deme.denoisers import Denoiser, load_denoiser
from deme.errors import MismatchError

MakeJob = Callable[..., TrainingJob]


def test_four_ranges_are_three_levels_of_equal_steps() -> None:
    tree = expert_tree(Partition.uniform(4, 1000), steps=300)
    assert [(n.timesteps.low, n.timesteps.high, n.steps, n.leaf) for n in tree] == [
        (0, 1000, 400, None),
        (0, 500, 200, None),
        (500, 1000, 200, None),
        (0, 250, 100, 0),
        (250, 500, 100, 1),
        (500, 750, 100, 2),
        (750, 1000, 100, 3),
    ]


def test_one_range_is_one_plain_training() -> None:
    (node,) = expert_tree(Partition.uniform(1, 1000), steps=7)
    assert (node.timesteps.low, node.timesteps.high, node.steps, node.leaf) == (0, 1000, 7, 0)


def test_a_range_that_stands_alone_early_takes_its_share_of_later_levels() -> None:
    tree = expert_tree(Partition.uniform(3, 300), steps=30)
    assert [(str(n.timesteps), n.steps) for n in tree] == [
        ("[0, 300)", 30),
        ("[0, 200)", 20),
        ("[200, 300)", 20),
        ("[0, 100)", 10),
        ("[100, 200)", 10),
    ]


@given(boundaries=st.sets(st.integers(1, 99), max_size=12), steps=st.integers(0, 1000))
def test_the_budget_adds_up_and_ranges_are_nested(boundaries: set[int], steps: int) -> None:
    partition = Partition.from_boundaries(sorted(boundaries), 100)
    tree = expert_tree(partition, steps)
    assert sum(node.steps for node in tree) == steps * len(partition)
    leaves = {node.leaf: node for node in tree if node.leaf is not None}
    assert [leaves[i].timesteps for i in range(len(partition))] == list(partition.ranges)
    assert len(tree) == 2 * len(partition) - 1
    depths = set()
    for leaf in leaves.values():
        path = path_to(tree, leaf)
        assert (path[0].timesteps.low, path[0].timesteps.high) == (0, 100)
        assert path[-1] == leaf
        sizes = [len(node.timesteps) for node in path]
        assert sizes == sorted(set(sizes), reverse=True)
        depths.add(len(path))
    assert max(depths) - min(depths) <= 1


@given(count=st.integers(1, 16), steps=st.integers(0, 1000))
def test_each_range_is_on_models_of_the_same_steps_for_its_width(count: int, steps: int) -> None:
    """Along any path the shares k/N of the levels add up alike, to rounding."""
    tree = expert_tree(Partition.uniform(count, 1600), steps)
    densities = []
    for leaf in (node for node in tree if node.leaf is not None):
        ranges_of = [
            sum(m.leaf is not None for m in tree if node in path_to(tree, m))
            for node in path_to(tree, leaf)
        ]
        path = path_to(tree, leaf)
        densities.append(sum(n.steps / k for n, k in zip(path, ranges_of, strict=True)))
    assert max(densities) - min(densities) <= len(tree)


def test_a_start_of_no_steps_is_the_result(
    make_job: MakeJob,
    accelerator: Accelerator,
    tiny_pipeline: Callable[..., Path],
    same_weights: Callable[[Denoiser, Denoiser], bool],
    tmp_path: Path,
) -> None:
    start = load_denoiser(tiny_pipeline("parent", seed=1))
    job = make_job(steps=0)
    other = TrainingJob(**{**vars(job), "start": start})
    assert same_weights(train_expert(other, tmp_path, accelerator).denoiser, start)


def test_a_start_of_another_architecture(
    make_job: MakeJob, accelerator: Accelerator, tiny_pipeline: Callable[..., Path], tmp_path: Path
) -> None:
    start = load_denoiser(tiny_pipeline("wide", block_out_channels=(8, 24)))
    job = TrainingJob(**{**vars(make_job()), "start": start})
    with pytest.raises(MismatchError, match="do not fit"):
        train_expert(job, tmp_path, accelerator)
