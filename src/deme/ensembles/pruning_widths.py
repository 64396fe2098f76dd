"""Which widths a U-Net can be pruned to and still be one that its configuration describes.

A stock ``UNet2DModel`` has one width for each level, ``block_out_channels``. So all layers of a
level lose as many channels: the result is a plain pipeline of smaller widths, which any version of
diffusers loads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..denoisers import Denoiser
from ..errors import ConfigError, ModelError
from .pruning_unet2d import require_unet2d, skeleton

Widths = tuple[int, ...]
"""Channels of each level, from the finest."""


def width_units(config: Mapping[str, Any]) -> Widths:
    """What the width of each level must be a multiple of.

    Group norms split every width into as many groups; attention needs whole heads.
    """
    widths = config["block_out_channels"]
    groups, head = config["norm_num_groups"], config["attention_head_dim"]
    last = len(widths) - 1
    units = []
    for level in range(len(widths)):
        blocks = (config["down_block_types"][level], config["up_block_types"][last - level])
        middle = level == last and config["mid_block_type"] and config["add_attention"]
        unit = groups
        if middle or any("Attn" in block for block in blocks):
            unit = math.lcm(unit, head or 1)
        if middle:
            unit = math.lcm(unit, config["attn_norm_num_groups"] or 1)
        units.append(unit)
    return tuple(units)


def width_ladder(config: Mapping[str, Any]) -> list[Widths]:
    """Widths from the network's own down to the fewest, one unit of one level at a time.

    Each step takes from the level that has kept the largest share so far, of several the deepest:
    all levels shrink alike, to rounding. Where two neighbouring levels are of different widths
    they stay so: between equal ones a stock network has no convolution to go from one to the
    other.
    """
    full, units = tuple(config["block_out_channels"]), width_units(config)
    ladder = [full]
    while True:
        now = ladder[-1]
        by_share = sorted(range(len(now)), key=lambda level: (now[level] / full[level], level))
        for level in reversed(by_share):
            below = now[level] - units[level]
            smaller = (*now[:level], below, *now[level + 1 :])
            if below > 0 and below % units[level] == 0 and _has_shortcuts(full, smaller):
                ladder.append(smaller)
                break
        else:
            return ladder


def require_widths(config: Mapping[str, Any], widths: Widths) -> None:
    """Checks that a network of this configuration can be pruned to ``widths``.

    Raises:
        ConfigError: it cannot.

    """
    full, units = tuple(config["block_out_channels"]), width_units(config)
    fits = len(widths) == len(full) and all(
        0 < width <= most and width % unit == 0
        for width, most, unit in zip(widths, full, units, strict=True)
    )
    if not fits or not _has_shortcuts(full, widths):
        raise ConfigError(
            f"A network of widths {list(full)} cannot be pruned to {list(widths)}",
            fix=f"give multiples of {list(units)}, different where the network's own are",
        )


def _has_shortcuts(full: Widths, smaller: Widths) -> bool:
    return all(
        full[level] == full[level + 1] or smaller[level] != smaller[level + 1]
        for level in range(len(full) - 1)
    )


def widths_keeping(
    denoiser: Denoiser, kept: Sequence[float], flops: Callable[[Denoiser], float]
) -> dict[Widths, float]:
    """The widths whose operations are nearest to each of the fractions, and their own fractions.

    Fractions between which the network has no choice give the same widths, once.

    Args:
        denoiser: the network that is to be pruned.
        kept: fractions in (0, 1].
        flops: counts one call of a denoiser from its shapes alone: smaller ones have no values.

    Raises:
        ModelError: no ``UNet2DModel``, or one whose widths leave no choice.
        ConfigError: a fraction outside (0, 1].

    """
    config = require_unet2d(denoiser).config
    ladder = width_ladder(config)
    if len(ladder) == 1:
        raise ModelError(
            f"{denoiser.name} cannot be pruned: the widths {list(ladder[0])} of its levels must be "
            f"multiples of {list(width_units(config))} (norm_num_groups, attention_head_dim), and "
            "there are none that are smaller",
            fix="take a wider model, or leave this arm out",
        )
    whole = flops(denoiser)
    known: dict[Widths, float] = {ladder[0]: 1.0}

    def fraction(widths: Widths) -> float:
        if widths not in known:
            known[widths] = flops(skeleton(denoiser, widths)) / whole
        return known[widths]

    found = [_nearest(ladder, target, fraction) for target in kept]
    return {widths: fraction(widths) for widths in found}


def _nearest(
    ladder: Sequence[Widths], target: float, fraction: Callable[[Widths], float]
) -> Widths:
    """By bisection: operations fall along the ladder."""
    if not 0 < target <= 1:
        raise ConfigError(
            f"{target:g} cannot be kept of a network", fix="give a fraction in (0, 1]"
        )
    above, below = 0, len(ladder) - 1
    while below - above > 1:
        middle = (above + below) // 2
        above, below = (middle, below) if fraction(ladder[middle]) > target else (above, middle)
    return min(ladder[above], ladder[below], key=lambda widths: abs(fraction(widths) - target))
