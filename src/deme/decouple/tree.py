"""A binary tree of experts: each starts from the expert of the range that holds its own.

eDiff-I (Balaji et al., arXiv:2211.01324) trains one model on all timesteps first, then copies it
to both halves of them and goes on with each, and so on down to the ranges that are wanted. What
two ranges have in common is learned once.
"""

from __future__ import annotations

from dataclasses import dataclass

from .partition import Partition, TimestepRange


@dataclass(frozen=True)
class TreeNode:
    """A model of the tree; a leaf is an expert.

    Args:
        timesteps: what it is trained on.
        steps: optimizer steps of its own, after those of the nodes above it.
        leaf: the index of the partition's range that it is; None for a node with two children.

    """

    timesteps: TimestepRange
    steps: int
    leaf: int | None

    @property
    def name(self) -> str:
        """The name of its folder, as the experts' are named."""
        return f"t{self.timesteps.low:04d}-{self.timesteps.high:04d}"


def expert_tree(partition: Partition, steps: int) -> tuple[TreeNode, ...]:
    """The nodes, level by level from the one that owns all timesteps.

    A node over ``k > 1`` consecutive ranges of the partition has children over the first ``⌈k/2⌉``
    of them and the others. With ``L`` levels and N ranges every level has the same share
    ``N·steps/L`` of the experts' whole budget ``N·steps``, and of it each node as much as it has
    ranges: ``k·steps/L`` steps, which is ``N·steps/(L·2^l)`` on level l where N is a power of
    two. Where it is none, some ranges stand alone before the last level; such a leaf takes its
    share of the levels below it as well. Rounding keeps the sum at ``N·steps``.

    Args:
        partition: the experts' ranges.
        steps: of each expert, were it trained alone.

    """
    levels = _levels(len(partition))
    spans = [
        (depth, first, last)
        for depth, level in enumerate(levels)
        for first, last in level
        if depth == 0 or (first, last) not in levels[depth - 1]
    ]
    nodes: list[TreeNode] = []
    shares = taken = 0
    for depth, first, last in spans:
        stands_at = len(levels) - depth if last - first == 1 else 1
        shares += (last - first) * stands_at
        until = shares * steps // len(levels)
        timesteps = TimestepRange(partition.ranges[first].low, partition.ranges[last - 1].high)
        leaf = first if last - first == 1 else None
        nodes.append(TreeNode(timesteps, until - taken, leaf))
        taken = until
    return tuple(nodes)


def path_to(tree: tuple[TreeNode, ...], node: TreeNode) -> tuple[TreeNode, ...]:
    """The nodes from the first down to ``node``, each starting from the one before."""
    low, high = node.timesteps.low, node.timesteps.high
    return tuple(n for n in tree if n.timesteps.low <= low and high <= n.timesteps.high)


def _levels(count: int) -> list[list[tuple[int, int]]]:
    """Spans ``[first, last)`` of ranges, level by level; a span of one range stays as it is."""
    levels = [[(0, count)]]
    while any(last - first > 1 for first, last in levels[-1]):
        levels.append([half for span in levels[-1] for half in _halves(*span)])
    return levels


def _halves(first: int, last: int) -> list[tuple[int, int]]:
    if last - first == 1:
        return [(first, last)]
    middle = (first + last + 1) // 2
    return [(first, middle), (middle, last)]
