"""Validation loss of every model on every range, relative to the pretrained model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .style import (
    INK,
    SURFACE,
    change_colours,
    expert_label,
    matrix_axes,
    range_label,
    signed,
    text_colour_on,
    three_figures,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BASELINE = "pretrained"


@dataclass(frozen=True)
class ValidationMatrix:
    """Losses on the same images and noise; a row for each model but the pretrained one.

    Attributes:
        models: the rows' names.
        ranges: the columns' timesteps ``[low, high)``.
        baseline: the pretrained model's loss on each range.
        change: ``100 · (loss / baseline − 1)`` in percent; negative is better.
        own: for each row the column of the range it was trained on, or None.

    """

    models: tuple[str, ...]
    ranges: tuple[tuple[int, int], ...]
    baseline: tuple[float, ...]
    change: tuple[tuple[float, ...], ...]
    own: tuple[int | None, ...]


def validation_matrix(
    validation: Mapping[str, Any], own_ranges: Mapping[str, tuple[int, int]] | None = None
) -> ValidationMatrix:
    """The relative change of every model's loss on every range.

    Args:
        validation: ``ranges`` as pairs, and ``models`` from a name to one loss for each range.
        own_ranges: the timesteps that a model was trained on, by its name.

    Raises:
        DataError: the pretrained model is not among them, or a row has another length.

    """
    ranges = tuple((int(low), int(high)) for low, high in validation["ranges"])
    losses = {name: tuple(map(float, row)) for name, row in validation["models"].items()}
    if BASELINE not in losses:
        raise DataError(
            f"The validation losses have no {BASELINE!r} to compare with", choices=losses
        )
    if wrong := [name for name, row in losses.items() if len(row) != len(ranges)]:
        raise DataError(f"Validation losses of {', '.join(wrong)} are not {len(ranges)} numbers")
    baseline = losses.pop(BASELINE)
    own = own_ranges or {}
    return ValidationMatrix(
        models=tuple(losses),
        ranges=ranges,
        baseline=baseline,
        change=tuple(
            tuple(_change(value, base) for value, base in zip(row, baseline, strict=True))
            for row in losses.values()
        ),
        own=tuple(ranges.index(own[name]) if own.get(name) in ranges else None for name in losses),
    )


def _change(value: float, base: float) -> float:
    return 100 * (value / base - 1) if base else math.nan


def draw_validation_matrix(axes: Axes, matrix: ValidationMatrix) -> None:
    """Draws tiles with the change in percent; a frame marks the range an expert was trained on.

    Colours follow the signed root of the change: one ruined range must not hide the small gains.
    """
    columns = [
        f"{range_label(*item)}\n{three_figures(base)}"
        for item, base in zip(matrix.ranges, matrix.baseline, strict=True)
    ]
    matrix_axes(axes, columns, [expert_label(name) for name in matrix.models])
    finite = [abs(value) for row in matrix.change for value in row if math.isfinite(value)]
    strongest = max(finite, default=0) or 1.0
    colours = change_colours()
    for row, values in enumerate(matrix.change):
        for column, value in enumerate(values):
            known = value if math.isfinite(value) else 0.0
            root = math.copysign(math.sqrt(abs(known) / strongest), known)
            tile = colours(0.5 + 0.5 * root)
            _draw_tile(axes, column, row, tile, owned=matrix.own[row] == column)
            text = f"{signed(value, 1 if abs(value) >= 10 else 2)}" if value == value else "–"
            axes.text(
                column + 0.5,
                row + 0.5,
                text,
                ha="center",
                va="center",
                fontsize=9,
                color=text_colour_on(tile),
            )


def _draw_tile(
    axes: Axes, column: int, row: int, colour: tuple[float, float, float, float], *, owned: bool
) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column, row), 1, 1, facecolor=colour, edgecolor=SURFACE, linewidth=2))
    if owned:
        frame = Rectangle(
            (column + 0.03, row + 0.05), 0.94, 0.9, fill=False, edgecolor=INK, linewidth=1.6
        )
        axes.add_patch(frame)
