"""The rows of a table and their weights, as every objective reads them."""

from __future__ import annotations

import torch
from torch import Tensor

from ...errors import DataError
from ..evaluation import Tables
from .contract import RowWeights


def table_named(tables: Tables, name: str, *, at_least: int = 1) -> Tensor:
    """The table of that name in float64, ``(rows, columns)``; its values may be non-finite.

    Raises:
        DataError: there is no such table, it has another shape, or fewer rows than needed.

    """
    if name not in tables:
        raise DataError(f"The candidate was not measured with {name!r}", choices=tables, given=name)
    table = tables[name]
    if table.ndim != 2 or table.shape[1] == 0:
        raise DataError(f"The table {name!r} has the shape {tuple(table.shape)}, not (rows, D)")
    if len(table) < at_least:
        raise DataError(
            f"The table {name!r} has {len(table)} rows and at least {at_least} are needed",
            fix="raise search.images",
        )
    return table.detach().to(torch.float64)


def weights_named(row_weights: RowWeights | None, name: str, rows: int) -> Tensor:
    """The weights of a table's rows, float64 ``(rows,)``; all alike where none are given.

    Raises:
        DataError: there are more or fewer weights than rows.

    """
    if row_weights is None or name not in row_weights:
        return torch.full((rows,), 1 / rows, dtype=torch.float64)
    weights = row_weights[name]
    if tuple(weights.shape) != (rows,):
        raise DataError(
            f"The table {name!r} has {rows} rows and weights of shape {tuple(weights.shape)}"
        )
    return weights.to(torch.float64)


def require_finite(table: Tensor, name: str) -> None:
    """Refuses a set that no mixture can hold.

    Raises:
        DataError: a value is not finite.

    """
    if not table.isfinite().all():
        raise DataError(
            f"The table {name!r} holds values that are not finite",
            fix="leave this candidate out of the mixture: its images may have diverged",
        )


def require_paired(rows: int, others: int | None) -> None:
    """Refuses a set whose rows cannot be paired with those of the sets before it.

    Args:
        rows: of the set.
        others: of the sets before it; None: it is the first.

    Raises:
        DataError: the numbers differ.

    """
    if others is not None and rows != others:
        raise DataError(
            f"A set of {rows} rows cannot be mixed with sets of {others}",
            fix="mix candidates that were measured on the same number of images",
        )


def as_coefficients(coefficients: Tensor, sets: int) -> Tensor:
    """Coefficients ``(..., J)`` in float64.

    Raises:
        DataError: there are no sets, or not one coefficient for each.

    """
    if sets == 0 or coefficients.ndim == 0 or coefficients.shape[-1] != sets:
        raise DataError(
            f"Coefficients of shape {tuple(coefficients.shape)} do not fit a mixture of {sets} sets"
        )
    return coefficients.to(torch.float64)
