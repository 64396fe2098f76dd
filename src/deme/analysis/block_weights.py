"""Merging weights that differ by block: a matrix of blocks and experts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError
from .style import (
    MUTED,
    RULE,
    SURFACE,
    change_colours,
    expert_label,
    matrix_axes,
    signed,
    text_colour_on,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REST = "all the rest"


@dataclass(frozen=True)
class BlockWeights:
    """A weight for each block and expert.

    Attributes:
        experts: the columns.
        blocks: the rows: what each rule of the settings names, neighbours of equal weights as one,
            and :data:`REST` where there is a weight for what no rule names.
        weights: by row; not a number where an expert's setting has no single number for the row.

    """

    experts: tuple[str, ...]
    blocks: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]


def block_weights(experts: Sequence[str], settings: Sequence[Any]) -> BlockWeights:
    """The matrix of the experts' weights.

    Args:
        experts: their names.
        settings: each expert's weight, as a recipe or the command line's short form has it: a
            number, ``"0.3,down=0.5,mid_block=0"``, or a list of rules.

    Raises:
        DataError: not as many settings as experts.
        ConfigError: a text that is no setting.

    """
    if not experts or len(experts) != len(settings):
        raise DataError(f"{len(settings)} merging weights do not fit {len(experts)} experts")
    columns = [_column(setting) for setting in settings]
    found = dict.fromkeys(block for column in columns for block in column)
    blocks = sorted(found, key=lambda block: block == REST)  # what is left comes last
    rows = [(block, tuple(_weight(column, block) for column in columns)) for block in blocks]
    runs = [
        (key, [block for block, _ in run])
        for key, run in itertools.groupby(rows, key=lambda row: row[1])
    ]
    names = [run[0] if len(run) == 1 else f"{run[0]} … {run[-1]}" for _, run in runs]
    return BlockWeights(tuple(experts), tuple(names), tuple(weights for weights, _ in runs))


def _column(setting: Any) -> dict[str, float]:
    """A setting's weights by block; of rules for the same block the first counts."""
    from pydantic import TypeAdapter

    from ..merge.settings import Rule, Setting, parse_setting

    if isinstance(setting, str):
        parsed = parse_setting(setting)
    else:
        parsed = TypeAdapter(Setting).validate_python(setting)
    if not isinstance(parsed, list):
        return {REST: float(parsed)}
    column: dict[str, float] = {}
    for rule in parsed:
        if isinstance(rule, Rule):
            names = "+".join(name for _, name in rule.conditions)
            weight = math.nan if isinstance(rule.value, list) else float(rule.value)
            column.setdefault(names or REST, weight)
    return column or {REST: math.nan}


def _weight(column: dict[str, float], block: str) -> float:
    """A block's weight; an expert with one weight for everything has it in every block."""
    return column.get(block, column[REST] if set(column) == {REST} else math.nan)


def draw_block_weights(axes: Axes, data: BlockWeights) -> None:
    """Draws tiles with the weights: colours are their sign and size, white is zero."""
    from matplotlib.patches import Rectangle

    matrix_axes(axes, [expert_label(name) for name in data.experts], list(data.blocks))
    known = [abs(weight) for row in data.weights for weight in row if math.isfinite(weight)]
    scale = max(known, default=0.0) or 1.0
    colours = change_colours().reversed()
    for row, weights in enumerate(data.weights):
        for column, weight in enumerate(weights):
            finite = math.isfinite(weight)
            tile = colours(0.5 + 0.5 * weight / scale) if finite else (0, 0, 0, 0)
            axes.add_patch(
                Rectangle(
                    (column, row),
                    1,
                    1,
                    facecolor=tile if finite else RULE,
                    edgecolor=SURFACE,
                    linewidth=1.5,
                )
            )
            axes.text(
                column + 0.5,
                row + 0.5,
                signed(weight, 2) if finite else "–",
                ha="center",
                va="center",
                fontsize=8.5,
                color=text_colour_on(tile) if finite else MUTED,
            )
