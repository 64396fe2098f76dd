"""Fisher merging: a mean of the experts in which each element counts as much as it matters."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import ConfigError
from .measured import measured_experts
from .registry import merge_method
from .shares import normalised
from .task_arithmetic import task_arithmetic


@merge_method(paper="arXiv:2111.09832", elementwise=True, statistics="fisher")
def fisher(
    base: Tensor,
    deltas: Sequence[Tensor],
    weights: Sequence[float],
    *,
    statistics: Sequence[Tensor | None],
    floor: float = 1e-6,
) -> Tensor:
    """``Σ w_i F_i θ_i / Σ w_i F_i`` element by element (Eq. 4), ``F_i`` the diagonal Fisher.

    In differences this is ``θ + Σ w_i F_i τ_i / Σ w_i F_i``, which loses fewer digits: where all
    experts agree, so does the result. The pretrained base takes no part; to let it, give it as one
    of the experts, with statistics of its own. Where no expert has information, all have the
    floor, and the result is their weighted mean; so it is for a tensor that was not measured in
    one of them.

    ``deme statistics`` files are read in units of their own root mean square over the model, as
    the published code normalises: experts whose losses differ in size then count alike. (It
    applies its floor before that, to the first model alone; here each expert has it.)

    Args:
        base: ``θ``, any shape.
        deltas: ``τ_i``, as ``base``.
        weights: ``w_i ≥ 0``; only their ratios count. All 0: the base.
        statistics: ``F_i ≥ 0``, as ``base``.
        floor: the least ``F_i``, above 0.

    Raises:
        ConfigError: a negative weight, a floor that is not above 0, or not one of the statistics
            for each expert.
        MismatchError: statistics of another shape.

    """
    if not floor > 0:
        raise ConfigError(f"fisher: floor = {floor}", fix="give a floor above 0, such as 1e-6")
    shares = normalised("fisher", weights)
    experts = measured_experts("fisher", deltas, shares, statistics, base.shape)
    if not experts:
        return task_arithmetic(base, deltas, shares)
    change, total = torch.zeros_like(base), torch.zeros_like(base)
    for expert in experts:
        importance = expert.statistics.to(base).clamp(min=floor).mul_(expert.share)
        total += importance
        change += importance.mul_(expert.delta)
    return change.div_(total).add_(base)
