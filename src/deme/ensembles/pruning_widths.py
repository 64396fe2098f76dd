"""Which widths a U-Net can be pruned to and still be one that its configuration describes.

A stock ``UNet2DModel`` has one width for each level, ``block_out_channels``, and splits every width
into ``norm_num_groups`` groups for its norms. So whole groups are taken out, as many from every
layer: ``k`` of ``g`` groups stay, and ``c·k/g`` channels of each level. The groups that stay are
normed as they were. (Fewer channels in as many groups would be finer in choice, but their means and
variances would be others; and a group of one channel takes out what the time embedding adds to it.)
The result is a plain pipeline of smaller widths.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..denoisers import Denoiser
from ..errors import ConfigError, ModelError
from .pruning_unet2d import Widths, kept_groups, require_unet2d, skeleton


def width_choices(config: Mapping[str, Any]) -> list[Widths]:
    """The widths of all levels that there can be, from the network's own down."""
    full, groups = config["block_out_channels"], config["norm_num_groups"]
    found = [tuple(width * kept // groups for width in full) for kept in range(groups, 0, -1)]
    return [widths for widths in found if _has_whole_heads(config, widths)]


def _has_whole_heads(config: Mapping[str, Any], widths: Widths) -> bool:
    """Attention needs whole heads, and whole groups where its norm has a number of its own."""
    head, last = config["attention_head_dim"] or 1, len(widths) - 1
    middle = config["mid_block_type"] and config["add_attention"]
    own = config["attn_norm_num_groups"]
    if middle and own and own * kept_groups(config, widths) % config["norm_num_groups"]:
        return False
    for level, width in enumerate(widths):
        blocks = (config["down_block_types"][level], config["up_block_types"][last - level])
        attends = any("Attn" in block for block in blocks) or (middle and level == last)
        if attends and width % head:
            return False
    return True


def require_widths(config: Mapping[str, Any], widths: Widths) -> None:
    """Checks that a network of this configuration can be pruned to ``widths``.

    Raises:
        ConfigError: it cannot; the message lists what it can be pruned to.

    """
    choices = width_choices(config)
    if widths not in choices:
        raise ConfigError(
            f"A network of widths {list(config['block_out_channels'])} with "
            f"{config['norm_num_groups']} groups in its norms cannot be pruned to {list(widths)}",
            choices=[list(choice) for choice in choices],
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
    choices = width_choices(config)
    if len(choices) == 1:
        raise ModelError(
            f"{denoiser.name} cannot be pruned: whole groups of its norms (norm_num_groups "
            f"{config['norm_num_groups']}) and whole heads of its attention (attention_head_dim "
            f"{config['attention_head_dim']}) leave no smaller widths than {list(choices[0])}",
            fix="take a model with more groups, or leave this arm out",
        )
    whole = flops(denoiser)
    known: dict[Widths, float] = {choices[0]: 1.0}

    def fraction(widths: Widths) -> float:
        if widths not in known:
            known[widths] = flops(skeleton(denoiser, widths)) / whole
        return known[widths]

    found = [_nearest(choices, target, fraction) for target in kept]
    return {widths: fraction(widths) for widths in found}


def _nearest(
    choices: Sequence[Widths], target: float, fraction: Callable[[Widths], float]
) -> Widths:
    """By bisection: operations fall with the widths."""
    if not 0 < target <= 1:
        raise ConfigError(
            f"{target:g} cannot be kept of a network", fix="give a fraction in (0, 1]"
        )
    above, below = 0, len(choices) - 1
    while below - above > 1:
        middle = (above + below) // 2
        above, below = (middle, below) if fraction(choices[middle]) > target else (above, middle)
    return min(choices[above], choices[below], key=lambda widths: abs(fraction(widths) - target))
