"""Merges in the span of the weights: all lengths and angles first, then one weighted sum.

Methods that turn or scale whole tensors need their inner products alone, a few numbers. These are
taken in float64: experts of one model differ so little in direction that float32 loses the angle.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from .sparsify import BLOCK


def one_row(tensor: Tensor) -> Tensor:
    """The tensor as one vector, ``(1, numel)``."""
    return tensor.reshape(1, -1)


def rows_of_outputs(tensor: Tensor) -> Tensor:
    """One row for each output (a linear layer's neuron, a convolution's filter).

    ``(out, …)`` becomes ``(out, rest)``; a bias or a number is one row.
    """
    return tensor.flatten(1) if tensor.dim() > 1 else one_row(tensor)


def gram(deltas: Sequence[Tensor], base: Tensor | None = None) -> Tensor:
    """Inner products of the rows of the differences, or of the weights where a base is given.

    Args:
        deltas: ``τ_i``, each ``(rows, columns)``.
        base: ``θ``, ``(rows, columns)``; then those of ``[θ, θ + τ_1, …, θ + τ_N]`` are taken.

    Returns:
        ``(rows, N, N)``, or ``(rows, N + 1, N + 1)`` with a base; float64.

    """
    vectors = list(deltas) if base is None else [base, *deltas]
    rows, columns = vectors[0].shape
    products = torch.zeros(
        rows, len(vectors), len(vectors), dtype=torch.float64, device=vectors[0].device
    )
    for place in _tiles(rows, columns):
        stacked = torch.stack([vector[place] for vector in vectors], dim=1).double()
        if base is not None:
            stacked[:, 1:] += stacked[:, :1]
        products[place[0]] += stacked @ stacked.mT
    return products


def combine(base: Tensor, deltas: Sequence[Tensor], coefficients: Tensor) -> Tensor:
    """``c_0 θ + Σ c_i τ_i`` for each row, summed in float64; newly made, float32.

    Args:
        base: ``θ``, ``(rows, columns)``.
        deltas: ``τ_i``, each ``(rows, columns)``.
        coefficients: ``(rows, N + 1)``, float64, the base's first.

    """
    merged = torch.empty_like(base)
    for place in _tiles(*base.shape):
        own = coefficients[place[0]]
        total = base[place].double().mul_(own[:, :1])
        for index, delta in enumerate(deltas, start=1):
            total.addcmul_(delta[place].double(), own[:, index : index + 1])
        merged[place] = total
    return merged


def cosines(products: Tensor) -> Tensor:
    """``(…, N, N)`` cosines of inner products ``(…, N, N)``; those with a zero vector are 0."""
    norms = products.diagonal(dim1=-2, dim2=-1).sqrt()
    scale = torch.where(norms > 0, norms.reciprocal(), 0.0)
    return (products * scale.unsqueeze(-1) * scale.unsqueeze(-2)).clamp(-1, 1)


def _tiles(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    height = max(1, BLOCK // max(1, columns))
    for top in range(0, rows, height):
        for left in range(0, columns, BLOCK):
            yield slice(top, top + height), slice(left, left + BLOCK)
