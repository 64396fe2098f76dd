"""What a search minimises, and how it is predicted where nothing was sampled."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor

from ..evaluation import Tables

RowWeights = Mapping[str, Tensor]
"""For each table a weight per row, float64 ``(rows,)``, summing to one."""


class Objective(ABC):
    """A function of the tables of a candidate; lower is better.

    Attributes:
        name: as in the configuration.
        reads: names of the tables it needs.

    """

    name: str
    reads: tuple[str, ...]

    @abstractmethod
    def value(self, tables: Tables, row_weights: RowWeights | None = None) -> Tensor:
        """The value, a float64 scalar; differentiable once with respect to ``row_weights``.

        It is ``inf`` where a table holds a value that is not finite, so that a search goes on.

        Args:
            tables: features of a candidate's images.
            row_weights: how much each row counts; None, or a table without any: all alike.
                Bootstraps and standard errors are made with it.

        Raises:
            DataError: a table is missing, has too few rows, or weights that do not fit it.

        """

    @abstractmethod
    def mixture(self) -> Mixture:
        """An empty mixture of sets under this objective."""


class Mixture(ABC):
    """The objective of a *signed mixture* of sets of images that share their noise.

    Where moments are fitted linearly, each predicted moment of any order is the same combination
    ``Σ_j c_j(w) m_j`` of the moments of the sets that were sampled. So a fit is one vector of
    coefficients ``c(w)`` that sum to one, and an objective says what such a mixture is worth.
    """

    @abstractmethod
    def add(self, tables: Tables) -> None:
        """Appends a set, with as many rows as those before it.

        Raises:
            DataError: another number of rows, or a value that is not finite.

        """

    @abstractmethod
    def __call__(self, coefficients: Tensor) -> Tensor:
        """Values ``(...)`` of mixtures ``(..., J)`` of the J sets; float64, differentiable.

        At a unit vector this is the value of that set, to 1e-8.
        """
