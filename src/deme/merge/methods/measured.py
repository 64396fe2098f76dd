"""The experts of a merge together with what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from ...errors import ConfigError, MismatchError


class MeasuredExpert(NamedTuple):
    """An expert that takes part in a mean."""

    share: float
    """Its part of the mean, above 0; all parts sum to one."""
    delta: Tensor
    """``τ_i``."""
    statistics: Tensor
    """What ``deme statistics`` collected for this tensor."""


def measured_experts(
    method: str,
    deltas: Sequence[Tensor],
    shares: Sequence[float],
    statistics: Sequence[Tensor | None],
    shape: Sequence[int],
) -> list[MeasuredExpert]:
    """The experts with a share above 0; none at all where one of these was not measured.

    Raises:
        ConfigError: not one of the statistics for each expert.
        MismatchError: statistics of another shape than ``shape``.

    """
    if len(statistics) != len(deltas):
        raise ConfigError(
            f"{method} got the statistics of {len(statistics)} experts for {len(deltas)}",
            fix="collect them for each expert with deme statistics",
        )
    experts = []
    for share, delta, given in zip(shares, deltas, statistics, strict=True):
        if share == 0:
            continue
        if given is None:
            return []
        if tuple(given.shape) != tuple(shape):
            raise MismatchError(
                f"{method} needs statistics of shape {tuple(shape)}, these have "
                f"{tuple(given.shape)}",
                fix="collect them with deme statistics from the very experts that are merged",
            )
        experts.append(MeasuredExpert(share, delta, given))
    return experts
