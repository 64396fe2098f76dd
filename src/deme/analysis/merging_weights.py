"""The merging weights of ``θ + Σ w_i τ_i`` (Eq. 8) as signed bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError
from .style import INK, MUTED, expert_label, plain_axes, range_colours, signed

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class MergingWeights:
    """A weight for each expert.

    Attributes:
        names: the experts.
        weights: ``w_i``, of any sign.
        uniform: 1/N.

    """

    names: tuple[str, ...]
    weights: tuple[float, ...]
    uniform: float


def merging_weights(names: Sequence[str], weights: Sequence[float]) -> MergingWeights:
    """Names and weights side by side.

    Raises:
        DataError: there are none, or not as many names as weights.

    """
    if not names or len(names) != len(weights):
        raise DataError(f"{len(weights)} merging weights do not fit {len(names)} experts")
    return MergingWeights(tuple(names), tuple(map(float, weights)), 1 / len(names))


def draw_merging_weights(axes: Axes, data: MergingWeights) -> None:
    """Draws a bar for each expert, the first on top, and 1/N as a dashed line."""
    plain_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    rows = range(len(data.names))
    axes.barh(list(rows), data.weights, height=0.56, color=range_colours(len(data.names)))
    axes.axvline(0, color=INK, linewidth=1)
    axes.axvline(data.uniform, color=MUTED, linewidth=1, linestyle=(0, (3, 3)))
    axes.annotate(
        f"1/{len(data.names)}" if len(data.names) > 1 else "1",
        (data.uniform, 1),
        xycoords=("data", "axes fraction"),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=MUTED,
    )
    for row, weight in zip(rows, data.weights, strict=True):
        axes.annotate(
            signed(weight, 3),
            (weight, row),
            xytext=(4 if weight >= 0 else -4, 0),
            textcoords="offset points",
            ha="left" if weight >= 0 else "right",
            va="center",
            fontsize=9,
            color=INK,
        )
    axes.set_yticks(list(rows), [expert_label(name) for name in data.names])
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.set_xlabel("merging weight")
    axes.margins(x=0.18)
    axes.set_ylim(len(data.names) - 0.5, -0.5)
