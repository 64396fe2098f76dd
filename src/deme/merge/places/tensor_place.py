"""Where a tensor sits in its network: its block, section, depth and kind, from names alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ...denoisers.contract import PROJECTIONS
from .forward_order import Section, sections_and_orders
from .layer_kinds import LayerKind, layer_kind
from .network_blocks import Block, Path, find_blocks

DEEPEST = 40
"""Modules in modules that are told apart; no network is so deep, but a file may say anything."""


@dataclass(frozen=True)
class TensorPlace:
    """Where a tensor sits in its network."""

    component: str
    """The component of the pipeline: ``unet``, ``text_encoder``, …"""
    name: str
    """The tensor's name."""
    block: str
    """The numbered or named module at the top of the network, without what wraps it:
    ``down_blocks.1``, ``mid_block``, ``transformer_blocks.17``, ``layers.5``, ``conv_in``. An
    autoencoder's are told apart by ``encoder.`` and ``decoder.``."""
    section: Section
    """U-Nets and autoencoders have ``input``, ``down``, ``mid``, ``up`` and ``output``, networks of
    equal blocks ``input``, ``body`` and ``output``."""
    depth: float
    """How far along the forward pass, in [0, 1]: what is in ``input`` is at 0, what is in
    ``output`` at 1, the blocks between them in equal steps."""
    kind: LayerKind
    """See :func:`.layer_kinds.layer_kind`."""


def places_of(component: str, names: Iterable[str]) -> dict[str, TensorPlace]:
    """The place of each tensor of one component.

    Nothing is known of any particular model: lists of numbered modules are blocks, in the order of
    their numbers; the words in their names (down, mid, up; in, out, final; refiner, single; norm,
    attn, …) say the rest. Modules beside the lists are inputs unless they are named as outputs.
    An autoencoder's encoder runs before its decoder, and all that lies between its last ``down``
    and its first ``up`` is ``mid``.

    Args:
        component: its name in the pipeline.
        names: all tensors of the component; the blocks are found by comparing them.

    """
    paths = {name: _module_path(component, name) for name in names}
    blocks = find_blocks(paths.values())
    found = list(dict.fromkeys(blocks.values()))
    times = Counter(block.name for block in found)
    sections, depths = _sections_and_depths(found)
    places = {}
    for name, path in paths.items():
        block = blocks[path]
        unique = times[block.name] == 1
        places[name] = TensorPlace(
            component,
            name,
            block.name if unique else ".".join(block.path),
            sections[block],
            depths[block],
            layer_kind(path[block.wrapped :], numbered=block.number is not None),
        )
    return places


def _sections_and_depths(blocks: list[Block]) -> tuple[dict[Block, Section], dict[Block, float]]:
    sections: dict[Block, Section] = {}
    depths: dict[Block, float] = {}
    for network in dict.fromkeys(block.network for block in blocks):
        own = [block for block in blocks if block.network == network]
        ordered = sections_and_orders(own)
        levels = sorted({order for _, order in ordered})
        for block, (section, order) in zip(own, ordered, strict=True):
            sections[block] = section
            depths[block] = levels.index(order) / max(1, len(levels) - 1)
    return sections, depths


def _module_path(component: str, name: str) -> Path:
    """The parts of a name; those of a channel-wise projection lead to the block that it follows."""
    prefix = f"{PROJECTIONS}."
    if component != PROJECTIONS and not name.startswith(prefix):
        return tuple(name.split(".", DEEPEST))
    module, _, parameter = name.removeprefix(prefix).partition(".")
    block = re.sub(r"_(\d+)(?=_|$)", r".\1", module)
    return (*block.split("."), PROJECTIONS, parameter)
