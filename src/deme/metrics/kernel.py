"""The kernel distance (KID): a squared maximum mean discrepancy, unbiased at any count."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ConfigError
from ..randomness import generator
from .statistics import require_features, require_same_dimensions


def squared_discrepancy(first: Tensor, second: Tensor) -> float:
    """Estimate without bias the squared MMD of features ``(N, D)`` and ``(M, D)``; may be below 0.

    With the kernel ``k(x, y) = (x·y/D + 1)³`` (Bińkowski et al., arXiv:1801.01401, Eq. 4 and
    section 4), in float64: the mean of k over distinct pairs within each set, minus twice its mean
    over pairs across.

    Raises:
        DataError: fewer than two rows in a set.
        ProtocolError: the dimensions differ.

    """
    require_features(first, at_least=2)
    require_features(second, at_least=2)
    require_same_dimensions(first.shape[1], second.shape[1])
    x, y = first.to(torch.float64), second.to(torch.float64)
    return _mean_of_pairs(x) + _mean_of_pairs(y) - 2 * float(_kernel(x, y).mean())


def kernel_distance(
    real: Tensor, generated: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> float:
    """KID: the mean of :func:`squared_discrepancy` over seeded subsets.

    A set of at most ``subset_size`` images is taken whole; where both are, there is one term and
    nothing random.

    Args:
        real: features ``(N, D)``.
        generated: features ``(M, D)``.
        subsets: how many pairs of subsets.
        subset_size: images in each, drawn without replacement.
        seed: of the drawing.

    Raises:
        ConfigError: ``subsets`` below 1 or ``subset_size`` below 2.
        DataError, ProtocolError: as for :func:`squared_discrepancy`.

    """
    if subsets < 1 or subset_size < 2:
        raise ConfigError(
            f"The kernel distance cannot use {subsets} subsets of {subset_size} images",
            fix="give at least 1 subset of at least 2 images",
        )
    if max(len(real), len(generated)) <= subset_size:
        return squared_discrepancy(real, generated)
    total = 0.0
    for index in range(subsets):
        draw = generator(seed, "kernel distance", index)
        total += squared_discrepancy(
            _subset(real, subset_size, draw), _subset(generated, subset_size, draw)
        )
    return total / subsets


def _subset(features: Tensor, size: int, draw: torch.Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=draw)[:size]]


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _mean_of_pairs(x: Tensor) -> float:
    values = _kernel(x, x)
    return float(values.sum() - values.trace()) / (len(x) * (len(x) - 1))
