"""How much of a network each interval keeps, under a budget for a whole sample."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ConfigError

SLACK = 1e-9
"""Relative: a budget that is met to rounding is met."""
_Choice = tuple[float, float, tuple[int, ...]]
"""Value, cost and candidates of the first intervals."""


def choose_ratios(
    values: Sequence[Sequence[float]],
    costs: Sequence[Sequence[float]],
    shares: Sequence[float],
    budget: float,
) -> tuple[int, ...]:
    """The candidates ``c_i`` that minimise ``Σ_i v[i][c_i]`` with ``Σ_i s_i·k[i][c_i] ≤ budget``.

    Exact: of the combinations of the first intervals those stay that no other betters in value
    and in cost, and they are few. Of equal values the cheaper is taken.

    Args:
        values: for each interval, what each candidate measured there; smaller is better. They are
            taken to add up: one interval's choice does not change what another's is worth.
        costs: for each interval, what each candidate costs of a step, such as the kept fraction
            of the operations.
        shares: of the sampler's steps, what falls into each interval.
        budget: for the mean cost of a step.

    Returns:
        For each interval the index of its candidate.

    Raises:
        ConfigError: not even the cheapest candidates keep to the budget.

    """
    limit = budget * (1 + SLACK)
    front: list[_Choice] = [(0.0, 0.0, ())]
    for measured, prices, share in zip(values, costs, shares, strict=True):
        longer = [
            (value + worth, cost + share * price, (*chosen, index))
            for value, cost, chosen in front
            for index, (worth, price) in enumerate(zip(measured, prices, strict=True))
        ]
        front = _not_bettered(longer)
    for _, cost, chosen in front:
        if cost <= limit:
            return chosen
    raise ConfigError(
        f"The budget of {budget:.3g} cannot be kept: the cheapest candidates cost "
        f"{front[-1][1]:.3g} of a step on average",
        fix="raise the budget, or give smaller candidates",
    )


def _not_bettered(choices: list[_Choice]) -> list[_Choice]:
    """Those than which none is as good and cheaper, from the best to the cheapest."""
    kept: list[_Choice] = []
    for choice in sorted(choices):
        if not kept or choice[1] < kept[-1][1]:
            kept.append(choice)
    return kept
