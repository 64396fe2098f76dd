"""The kernel distance (KID): a squared maximum mean discrepancy, unbiased at any count."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import stdev

import torch
from torch import Tensor

from ..errors import ConfigError
from ..randomness import generator
from .discrepancy import SampledSides, estimated_error
from .kernels import POLYNOMIAL, polynomial
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
    return mean_of_subsets(
        subset_discrepancies(real, generated, subsets=subsets, subset_size=subset_size, seed=seed)
    )


def subset_discrepancies(
    real: Tensor, generated: Tensor, *, subsets: int = 100, subset_size: int = 1000, seed: int = 0
) -> tuple[float, ...]:
    """What :func:`kernel_distance` is the mean of: one term for each pair of subsets.

    Raises:
        ConfigError, DataError, ProtocolError: as for :func:`kernel_distance`.

    """
    if subsets < 1 or subset_size < 2:
        raise ConfigError(
            f"The kernel distance cannot use {subsets} subsets of {subset_size} images",
            fix="give at least 1 subset of at least 2 images",
        )
    if max(len(real), len(generated)) <= subset_size:
        return (squared_discrepancy(real, generated),)
    values = []
    for index in range(subsets):
        draw = generator(seed, "kernel distance", index)
        first, second = _subset(real, subset_size, draw), _subset(generated, subset_size, draw)
        values.append(squared_discrepancy(first, second))
    return tuple(values)


def mean_of_subsets(values: Sequence[float]) -> float:
    """The kernel distance from :func:`subset_discrepancies`."""
    total = 0.0
    for value in values:  # sum() rounds otherwise from Python 3.12 on, and numbers would change
        total += value
    return total / len(values)


def kernel_distance_error(
    real: Tensor,
    generated: Tensor,
    values: Sequence[float],
    *,
    subset_size: int = 1000,
    seed: int = 0,
    sampled: SampledSides = "generated",
) -> float:
    """The standard error of :func:`kernel_distance` over other images.

    That of the unbiased estimate of all images (see
    :func:`~deme.metrics.discrepancy.estimated_error`), and what drawing subsets adds: the values'
    variance over their number. The deviation of the values, often printed beside KID, is that of a
    single subset and much larger.

    Args:
        real: features ``(N, D)``.
        generated: features ``(M, D)``.
        values: of :func:`subset_discrepancies`.
        subset_size: as there.
        seed: as there.
        sampled: whose images might have been others.

    Returns:
        Not a number below 4 images in a set.

    Raises:
        DataError, ProtocolError: as for :func:`kernel_distance`.

    """
    for features in (real, generated):
        require_features(features, at_least=2)
    require_same_dimensions(real.shape[1], generated.shape[1])
    rows = (POLYNOMIAL.prepared(features) for features in (generated, real))
    error = estimated_error(POLYNOMIAL, *rows, rows_at_once=subset_size, seed=seed, sampled=sampled)
    between = stdev(values) ** 2 / len(values) if len(values) > 1 else 0.0
    return math.sqrt(error**2 + between)


def _subset(features: Tensor, size: int, draw: torch.Generator) -> Tensor:
    return features[torch.randperm(len(features), generator=draw)[:size]]


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return polynomial(x @ y.T, x.shape[1])


def _mean_of_pairs(x: Tensor) -> float:
    values = _kernel(x, x)
    return float(values.sum() - values.trace()) / (len(x) * (len(x) - 1))
