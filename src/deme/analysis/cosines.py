"""Cosines between task vectors: near zero where the experts learned different things (S6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .style import (
    INK,
    RULE,
    SURFACE,
    change_colours,
    expert_label,
    matrix_axes,
    signed,
    text_colour_on,
    three_figures,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_SCALE = 0.1
"""The colours never stretch below this cosine: nearly orthogonal shall look nearly orthogonal."""


@dataclass(frozen=True)
class TaskVectorCosines:
    """Cosines and norms of the task vectors ``τ_i = θ_i − θ``.

    Attributes:
        names: the experts.
        cosines: ``⟨τ_i, τ_j⟩ / (‖τ_i‖ ‖τ_j‖)``, N × N.
        norms: ``‖τ_i‖``.
        relative_norms: ``‖τ_i‖ / ‖θ‖``.

    """

    names: tuple[str, ...]
    cosines: tuple[tuple[float, ...], ...]
    norms: tuple[float, ...]
    relative_norms: tuple[float, ...]


def task_vector_cosines(record: Mapping[str, Any]) -> TaskVectorCosines:
    """The matrix from a record with ``names``, ``cosines``, ``norms`` and ``relative_norms``.

    Raises:
        DataError: the matrix is not N × N, or the norms are not N.

    """
    names = tuple(map(str, record["names"]))
    cosines = tuple(tuple(map(float, row)) for row in record["cosines"])
    norms = tuple(map(float, record["norms"]))
    relative = tuple(map(float, record["relative_norms"]))
    lengths = {len(cosines), len(norms), len(relative), *map(len, cosines)}
    if lengths - {len(names)}:
        raise DataError(f"The task vectors' cosines and norms do not fit {len(names)} experts")
    return TaskVectorCosines(names, cosines, norms, relative)


def draw_task_vector_cosines(axes: Axes, data: TaskVectorCosines) -> None:
    """Draws tiles with the cosines; the diagonal, which is 1, tells the norms instead."""
    from matplotlib.patches import Rectangle

    labels = [expert_label(name) for name in data.names]
    matrix_axes(axes, labels, labels)
    others = [
        abs(value) for i, row in enumerate(data.cosines) for j, value in enumerate(row) if i != j
    ]
    scale = max([LEAST_SCALE, *others])
    colours = change_colours().reversed()
    for i, row in enumerate(data.cosines):
        for j, value in enumerate(row):
            tile = colours(0.5 + 0.5 * value / scale) if i != j else (0, 0, 0, 0)
            face = RULE if i == j else tile
            axes.add_patch(Rectangle((j, i), 1, 1, facecolor=face, edgecolor=SURFACE, linewidth=2))
            text = signed(value, 3) if i != j else f"‖τ‖ {three_figures(data.norms[i])}"
            colour = text_colour_on(tile) if i != j else INK
            axes.text(j + 0.5, i + 0.5, text, ha="center", va="center", fontsize=9, color=colour)
