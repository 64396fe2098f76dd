"""Squared maximum mean discrepancies as objectives: KID and CMMD."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from ...metrics.kernels import GAUSSIAN, POLYNOMIAL, Kernel
from ...metrics.statistics import require_features, require_same_dimensions
from ..evaluation import Tables
from .contract import Objective, RowWeights
from .kernel_mixture import KernelMixture
from .rows import table_named, weights_named


class KernelObjective(Objective):
    """A squared maximum mean discrepancy between one table and the real images' features.

    ``MMD² = E k(x, x') − 2 E k(x, r) + E k(r, r')``. Two are ready:

    - :meth:`kid`: ``k = (x·y/D + 1)³`` and the unbiased estimate (Bińkowski et al.,
      arXiv:1801.01401), as :func:`~deme.metrics.squared_discrepancy` computes it of whole sets.
    - :meth:`cmmd`: ``k = exp(−|x − y|²/2σ²)`` with σ = 10 on features of length one, times 1 000
      (Jayasumana et al., arXiv:2401.09603). As in the published code, pairs of a row with itself
      count, which adds a bias of the order 1/n that all candidates share. It is meant for CLIP's
      image embeddings.

    With row weights p the expectation over pairs within the set is ``pᵀKp``, and
    ``(pᵀKp − Σ p_i² k_ii)/(1 − Σ p_i²)`` where equal rows are left out. Everything is float64, and
    the time of a value is that of n·(n + N) kernel values over D features: 5 000 images of 2 048
    features against as many real ones are 100 GFLOP.

    Args:
        real: features ``(N, D)`` of the real images.
        table: the name of the detector's table.
        kernel: the kernel and its estimate.

    Raises:
        DataError: fewer than two real images, or features that are not finite.

    """

    def __init__(self, real: Tensor, table: str, kernel: Kernel) -> None:
        require_features(real, at_least=2)
        self.name = kernel.name
        self.reads = (table,)
        self.kernel = kernel
        self.real = kernel.prepared(real)

    @classmethod
    def kid(cls, real: Tensor, table: str) -> Self:
        """The kernel distance KID, of whole sets and not of subsets."""
        return cls(real, table, POLYNOMIAL)

    @classmethod
    def cmmd(cls, real: Tensor, table: str) -> Self:
        """CMMD, where the table is of CLIP's image embeddings."""
        return cls(real, table, GAUSSIAN)

    @cached_property
    def within_real(self) -> float:
        """``E k(r, r')``, computed once."""
        return self.kernel.mean_of_pairs(self.real, self.real, paired=self.kernel.unbiased)

    def prepared(self, tables: Tables) -> Tensor:
        """The table as the kernel reads it, float64 ``(rows, D)``.

        Raises:
            DataError: fewer than two rows.
            ProtocolError: features of another dimension than the real images'.

        """
        features = table_named(tables, self.reads[0], at_least=2)
        require_same_dimensions(self.real.shape[1], features.shape[1])
        return self.kernel.prepared(features)

    def against_real(self, rows: Tensor) -> Tensor:
        """``E_r k(x_i, r)`` at each prepared row."""
        weights = torch.full((len(self.real),), 1 / len(self.real), dtype=torch.float64)
        return self.kernel.embedded(rows, self.real, weights)

    def value(self, tables: Tables, row_weights: RowWeights | None = None) -> Tensor:
        """The squared discrepancy; ``inf`` where a feature is not finite.

        Raises:
            DataError, ProtocolError: as for :meth:`prepared`.

        """
        rows = self.prepared(tables)
        if not rows.isfinite().all():
            return torch.tensor(math.inf, dtype=torch.float64)
        weights = weights_named(row_weights, self.reads[0], len(rows))
        products = self.kernel.embedded(rows, rows, weights.detach())
        if self.kernel.unbiased:
            products = products - weights.detach() * self.kernel.paired(rows, rows)
        # The value of pᵀKp is p·(Kp) and its gradient 2 Kp: K itself need not be kept.
        within = 2 * (weights @ products) - (weights.detach() @ products)
        if self.kernel.unbiased:
            within = within / (1 - weights.square().sum())
        across = weights @ self.against_real(rows)
        return self.kernel.scale * (within - 2 * across + self.within_real)

    def mixture(self) -> KernelMixture:
        """An empty mixture; see :class:`~.kernel_mixture.KernelMixture`."""
        return KernelMixture(self)
