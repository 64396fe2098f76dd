"""Several objectives as one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from ..evaluation import Tables
from .contract import Mixture, Objective, RowWeights


class WeightedSum(Objective):
    """``Σ a_k f_k`` of objectives f and coefficients a of either sign.

    Args:
        terms: each objective's coefficient.

    Raises:
        ConfigError: no objectives, or a coefficient that is zero or not finite.

    """

    def __init__(self, terms: Mapping[Objective, float]) -> None:
        wrong = [item.name for item, a in terms.items() if a == 0 or not math.isfinite(a)]
        if not terms or wrong:
            named = f" ({', '.join(wrong)})" if wrong else ""
            raise ConfigError(
                f"A weighted sum needs objectives with finite coefficients other than zero{named}",
                fix="leave an objective that is not to count out",
            )
        self.terms = dict(terms)
        self.name = " + ".join(f"{a:g}·{item.name}" for item, a in self.terms.items())
        self.reads = tuple(dict.fromkeys(name for item in self.terms for name in item.reads))

    def value(self, tables: Tables, row_weights: RowWeights | None = None) -> Tensor:
        """The sum of the objectives' values; ``inf`` where one of them is not finite."""
        values = [a * item.value(tables, row_weights) for item, a in self.terms.items()]
        total = torch.stack(values).sum()
        return torch.where(total.isfinite(), total, torch.inf)

    def mixture(self) -> SumMixture:
        """An empty mixture of every objective."""
        return SumMixture([item.mixture() for item in self.terms], [*self.terms.values()])


class SumMixture(Mixture):
    """The same sum of the objectives' mixtures."""

    def __init__(self, mixtures: Sequence[Mixture], coefficients: Sequence[float]) -> None:
        self.mixtures = mixtures
        self.coefficients = coefficients

    def add(self, tables: Tables) -> None:
        """Appends a set to every mixture."""
        for mixture in self.mixtures:
            mixture.add(tables)

    def __call__(self, coefficients: Tensor) -> Tensor:
        """Values ``(...)`` of mixtures ``(..., J)``."""
        values = [
            a * mixture(coefficients)
            for a, mixture in zip(self.coefficients, self.mixtures, strict=True)
        ]
        return torch.stack(values).sum(0)
