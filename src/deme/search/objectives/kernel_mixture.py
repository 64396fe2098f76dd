"""The squared discrepancy of a signed mixture of sets, from kernel means between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..evaluation import Tables
from .contract import Mixture
from .rows import as_coefficients, require_finite, require_paired

if TYPE_CHECKING:
    from .kernel import KernelObjective


class KernelMixture(Mixture):
    """``MMD²(c) = cᵀKc − 2 c·k + k_rr``, exact for any kernel: mean embeddings mix linearly.

    ``K_jl`` is the mean of k over pairs of a row of set j and one of set l. Rows of equal number
    share their noise, so where the estimate is unbiased such pairs are left out across sets as they
    are within one.

    The sets are kept as they were given: tables that lie on disk are read again and not held.
    Adding the J-th set takes J kernel means of n² pairs; a call costs J² operations.
    """

    def __init__(self, objective: KernelObjective) -> None:
        self.objective = objective
        self.sets: list[Tables] = []
        self.rows: int | None = None
        self.between = torch.zeros(0, 0, dtype=torch.float64)
        """``K`` ``(J, J)``."""
        self.across = torch.zeros(0, dtype=torch.float64)
        """``k`` ``(J,)``: means over pairs of a set's row and a real image."""

    def add(self, tables: Tables) -> None:
        """Appends a set.

        Raises:
            DataError: another number of rows, or a value that is not finite.
            ProtocolError: features of another dimension than the real images'.

        """
        objective, kernel = self.objective, self.objective.kernel
        rows = objective.prepared(tables)
        require_finite(rows, objective.reads[0])
        require_paired(len(rows), self.rows)
        self.rows = len(rows)
        self.sets.append(tables)
        column = [
            kernel.mean_of_pairs(objective.prepared(other), rows, paired=kernel.unbiased)
            for other in self.sets
        ]
        grown = torch.zeros(len(column), len(column), dtype=torch.float64)
        grown[:-1, :-1] = self.between
        grown[-1] = grown[:, -1] = torch.tensor(column, dtype=torch.float64)
        self.between = grown
        mean = objective.against_real(rows).mean()
        self.across = torch.cat([self.across, mean[None]])

    def __call__(self, coefficients: Tensor) -> Tensor:
        """Squared discrepancies ``(...)`` of mixtures ``(..., J)``.

        Raises:
            DataError: not one coefficient for each set.

        """
        coefficients = as_coefficients(coefficients, len(self.sets))
        within = ((coefficients @ self.between) * coefficients).sum(-1)
        discrepancy = within - 2 * coefficients @ self.across + self.objective.within_real
        return self.objective.kernel.scale * discrepancy
