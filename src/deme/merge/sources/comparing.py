"""Which of a base's components an expert changed."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from .contract import DeltaSource, ModelSource, WeightSource

BLOCK = 2**20
"""Elements that are compared at a time where the dtypes differ, so that memory stays small."""


def differing_components(base: ModelSource, expert: ModelSource) -> tuple[str, ...]:
    """The components that an expert changed, and those that the base has not.

    Files that are the same on disk (links, the hub's blobs) are not read; else tensors are
    compared up to the first difference. Where the dtypes differ, both are rounded to the
    coarser one. Differences (adapters) always change something.

    Args:
        base: the base.
        expert: the expert under the base's names.

    """
    changed: list[str] = []
    for name, source in expert.components.items():
        own = base.components.get(name)
        if (
            isinstance(source, DeltaSource)
            or not isinstance(own, WeightSource)
            or not (_same_files(own, source) or same_weights(own, source))
        ):
            changed.append(name)
    return tuple(changed)


def same_weights(base: WeightSource, expert: WeightSource) -> bool:
    """Whether the tensors are the same, rounded to the coarser of both dtypes; NaN is not."""
    return all(_same_tensor(base, expert, name) for name in expert.layout)


def _same_tensor(base: WeightSource, expert: WeightSource, name: str) -> bool:
    theta, theta_i = base.read(name).flatten(), expert.read(name).flatten()
    if theta.dtype == theta_i.dtype:
        return torch.equal(theta, theta_i)
    coarse = min(theta.dtype, theta_i.dtype, key=lambda dtype: dtype.itemsize)
    blocks = zip(theta.split(BLOCK), theta_i.split(BLOCK), strict=True)
    return all(torch.equal(one.to(coarse), other.to(coarse)) for one, other in blocks)


def _same_files(base: WeightSource, expert: WeightSource) -> bool:
    mine, theirs = _identities(base.files), _identities(expert.files)
    return bool(mine) and mine == theirs


def _identities(files: tuple[Path, ...]) -> set[tuple[int, int]]:
    found: list[os.stat_result] = [file.stat() for file in files]
    return {(one.st_dev, one.st_ino) for one in found}
