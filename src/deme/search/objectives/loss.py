"""The denoising loss on held-out images as an objective."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError, DataError
from ..evaluation import Tables
from .linear import LinearObjective
from .rows import table_named

LOSS_TABLE = "loss"


class LossObjective(LinearObjective):
    """The mean over ranges of the mean denoising loss over validation images.

    Its table has a row for each validation image and a column for each range, as
    :func:`~deme.decouple.validation_table` makes it.

    Args:
        ranges: how much each range counts, of any scale; None: all alike.

    Raises:
        ConfigError: a weight is negative or not finite, or all are zero.

    """

    name = "loss"
    reads = (LOSS_TABLE,)

    def __init__(self, ranges: Sequence[float] | None = None) -> None:
        self.shares = None if ranges is None else torch.tensor(ranges, dtype=torch.float64)
        if self.shares is not None:
            total = self.shares.sum()
            if not (total.isfinite() and total > 0 and (self.shares >= 0).all()):
                raise ConfigError(
                    f"{list(ranges or ())} are no weights of ranges",
                    fix="give finite weights of at least 0, not all of them 0",
                )
            self.shares = self.shares / total

    def row_values(self, tables: Tables) -> Tensor:
        """The mean over ranges of each image's loss.

        Raises:
            DataError: the table has not one column for each weight.

        """
        losses = table_named(tables, LOSS_TABLE)
        if self.shares is None:
            return losses.mean(1)
        if len(self.shares) != losses.shape[1]:
            raise DataError(
                f"There are {losses.shape[1]} ranges and {len(self.shares)} weights of them"
            )
        return losses @ self.shares
