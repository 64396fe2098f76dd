"""Distances to nearest neighbours, a chunk of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from ..errors import ConfigError
from .statistics import require_features, require_same_dimensions

CHUNK = 1024


def nearest_distances(
    queries: Tensor, references: Tensor, k: int = 1, *, chunk: int = CHUNK
) -> Tensor:
    """Euclidean distances ``(N, k)``, ascending, from each query to its nearest references.

    The mean of the first column over generated images, beside the same for held-out real ones,
    tells a model that copies its training images from one that does not.

    Args:
        queries: features ``(N, D)``.
        references: features ``(M, D)``.
        k: how many neighbours.
        chunk: rows of queries at a time; memory is ``chunk × M`` float64.

    Raises:
        ConfigError: ``k`` is below 1.
        DataError: fewer than ``k`` references.
        ProtocolError: the dimensions differ.

    """
    _require_neighbours(references, k, count=k)
    return _nearest(squared_distances(queries, references, chunk=chunk), k)


def neighbour_radii(points: Tensor, k: int, *, chunk: int = CHUNK) -> Tensor:
    """Measure the distance ``(N,)`` from each point to the k-th nearest of the *other* points.

    Raises:
        ConfigError: ``k`` is below 1.
        DataError: fewer than ``k + 1`` points.

    """
    _require_neighbours(points, k, count=k + 1)
    return _nearest(_without_self(points, chunk), k)[:, -1]


def squared_distances(
    queries: Tensor, references: Tensor, *, chunk: int = CHUNK
) -> Iterator[Tensor]:
    """Squared distances in float64, ``(chunk, M)`` at a time.

    ``|x|² + |y|² − 2 x·y`` about the references' mean, which keeps a common offset from costing
    digits. What is below the formula's rounding is zero, so that equal rows are at distance zero.

    Raises:
        DataError: no rows, or values that are not finite.
        ProtocolError: the dimensions differ.

    """
    require_features(queries)
    require_features(references)
    require_same_dimensions(queries.shape[1], references.shape[1])
    centre = references.mean(dim=0, dtype=torch.float64)
    y = references.to(torch.float64) - centre
    y_squared = y.square().sum(dim=1)
    rounding = torch.finfo(torch.float64).eps * y.shape[1]
    for rows in queries.split(chunk):
        x = rows.to(torch.float64) - centre
        scale = x.square().sum(dim=1, keepdim=True) + y_squared
        squared = scale - 2 * (x @ y.T)
        yield squared.masked_fill(squared <= rounding * scale, 0.0)


def _without_self(points: Tensor, chunk: int) -> Iterator[Tensor]:
    start = 0
    for squared in squared_distances(points, points, chunk=chunk):
        rows = torch.arange(len(squared))
        squared[rows, start + rows] = torch.inf
        start += len(squared)
        yield squared


def _nearest(blocks: Iterator[Tensor], k: int) -> Tensor:
    return torch.cat([block.topk(k, dim=1, largest=False).values.sqrt() for block in blocks])


def _require_neighbours(points: Tensor, k: int, *, count: int) -> None:
    if k < 1:
        raise ConfigError(f"The number of neighbours k is {k}", fix="give at least 1")
    require_features(points, at_least=count)
