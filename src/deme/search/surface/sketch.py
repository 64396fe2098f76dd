"""A short vector of the moments of a candidate's features, from which the fit learns its scales."""

from __future__ import annotations

import torch
from torch import Tensor

from ...randomness import generator
from ..evaluation import Tables

MOST_COLUMNS = 64
FLAT = 1e-3
"""Columns whose deviation is below this share of the largest are not blown up to one: a feature
that is silent in the first set would decide everything where it speaks in another."""


class MomentSketch:
    """Mean and second moment of standardised, projected features, as one vector.

    The fit's length scales are properties of the moments, not of an objective; so they are learnt
    from this sketch, whatever is minimised. Tables of more than 64 columns are projected to 64
    directions that are fixed by a seed.

    Args:
        tables: of the first candidate, whose columns' mean and deviation standardise all; columns
            that hardly vary in it count less.

    """

    def __init__(self, tables: Tables) -> None:
        self.centres: dict[str, Tensor] = {}
        self.projections: dict[str, Tensor] = {}
        for name, table in tables.items():
            values = table.double()
            deviation = values.std(dim=0, unbiased=False)
            floor = FLAT * deviation.max()
            scale = 1 / deviation.clamp(min=floor) if floor > 0 else torch.ones_like(deviation)
            self.centres[name] = values.mean(dim=0)
            self.projections[name] = scale[:, None] * _directions(len(deviation), name)

    def __call__(self, tables: Tables) -> Tensor:
        """The sketch ``(K,)``, float64, of a candidate's tables."""
        parts = []
        for name, projection in self.projections.items():
            values = (tables[name].double() - self.centres[name]) @ projection
            second = values.T @ values / len(values)
            rows, columns = torch.triu_indices(*second.shape).unbind()
            parts += [values.mean(dim=0), second[rows, columns] / 2]
        return torch.cat(parts)


def _directions(columns: int, name: str) -> Tensor:
    """The identity, or ``(columns, 64)`` random directions whose squares sum to one."""
    if columns <= MOST_COLUMNS:
        return torch.eye(columns, dtype=torch.float64)
    draw = generator(0, "moment sketch", name)
    shape = (columns, MOST_COLUMNS)
    return torch.randn(shape, generator=draw, dtype=torch.float64) / columns**0.5
