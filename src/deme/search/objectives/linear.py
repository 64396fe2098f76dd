"""Objectives that are a mean over rows, and so linear in the set."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ..evaluation import Tables
from .contract import Mixture, Objective, RowWeights
from .rows import as_coefficients, require_finite, require_paired, weights_named


class LinearObjective(Objective):
    """``Σ p_n f_n``: each row of one table has a value of its own."""

    @abstractmethod
    def row_values(self, tables: Tables) -> Tensor:
        """The value of each row, float64 ``(rows,)``, lower is better."""

    def value(self, tables: Tables, row_weights: RowWeights | None = None) -> Tensor:
        """The weighted mean of the rows' values; not finite where one of them is not.

        Raises:
            DataError: the table is missing or does not fit.

        """
        values = self.row_values(tables)
        mean = weights_named(row_weights, self.reads[0], len(values)) @ values
        return torch.where(mean.isfinite(), mean, torch.inf)

    def mixture(self) -> LinearMixture:
        """An empty mixture: the same combination of the sets' values."""
        return LinearMixture(self)


class LinearMixture(Mixture):
    """``Σ_j c_j v_j`` for sets of values ``v_j``: exact, and one number is kept for each."""

    def __init__(self, objective: LinearObjective) -> None:
        self.objective = objective
        self.rows: int | None = None
        self.values: list[float] = []

    def add(self, tables: Tables) -> None:
        """Appends a set.

        Raises:
            DataError: another number of rows, or a value that is not finite.

        """
        values = self.objective.row_values(tables)
        require_finite(values, self.objective.reads[0])
        require_paired(len(values), self.rows)
        self.rows = len(values)
        self.values.append(float(values.mean()))

    def __call__(self, coefficients: Tensor) -> Tensor:
        """Values ``(...)`` of mixtures ``(..., J)``.

        Raises:
            DataError: not one coefficient for each set.

        """
        coefficients = as_coefficients(coefficients, len(self.values))
        return coefficients @ torch.tensor(self.values, dtype=torch.float64)
