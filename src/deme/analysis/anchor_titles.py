"""What a reader calls the points that every search evaluates, whatever its strategy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .style import expert_label, signed

PRETRAINED = "pretrained"
UNIFORM = "uniform"
SAME = 1e-6
"""Weights closer than this are equal: 1/3 is written with ten digits."""

_NAMES = {"zero": PRETRAINED, "sum": "all 1", "ones": "all 1"}


def anchor_title(name: str, weights: Mapping[str, float], experts: Sequence[str] = ()) -> str:
    """The title of an anchor, by its weights where they tell it, or else by its name.

    Args:
        name: as the search has it; empty where it has none.
        weights: by expert; empty where the point does not hold them.
        experts: all of them.

    Returns:
        ``pretrained`` (all zero), ``… alone`` (one-hot), ``uniform`` (1/N each), ``all 1``; of a
        named point also ``… at +0.60`` and ``all +0.60``; else the name.

    """
    values = list(weights.values())
    if values and _equal(values, 0.0):
        return PRETRAINED
    moved = [expert for expert, weight in weights.items() if abs(weight) > SAME]
    if len(moved) == 1 and abs(weights[moved[0]] - 1) < SAME:
        return f"{expert_label(moved[0])} alone"
    if values and _equal(values, 1 / len(values)):
        return UNIFORM
    if values and _equal(values, 1.0):
        return "all 1"
    if name and len(moved) == 1:
        return f"{expert_label(moved[0])} at {signed(weights[moved[0]], 2)}"
    if name and values and _equal(values, values[0]):
        return f"all {signed(values[0], 2)}"
    return f"{expert_label(name)} alone" if name in experts else _NAMES.get(name, name)


def _equal(values: Sequence[float], target: float) -> bool:
    return all(abs(value - target) < SAME for value in values)
