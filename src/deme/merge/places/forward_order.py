"""In which order the blocks of a network run, and which section each is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from .layer_kinds import layer_kind
from .network_blocks import Block

Section = Literal["input", "down", "mid", "up", "body", "output"]

_RANKS: dict[Section, int] = {"input": 0, "down": 1, "mid": 2, "body": 2, "up": 3, "output": 4}
_LISTS: tuple[tuple[str, Section], ...] = (
    ("down", "down"),
    ("input", "down"),
    ("up", "up"),
    ("output", "up"),
)
"""How the names of the lists begin whose blocks are in a U-Net's two halves."""
_OUTPUT_WORDS = {"out", "output", "outputs", "final", "post", "head", "pooler"}
_OUTPUT_NAMES = {"norm", "ln_f", "text_projection", "scale_shift_table"}
_ENCODER, _BETWEEN, _DECODER = range(3)

Order = tuple[int, int, int, str, int]
"""Half of an autoencoder, rank of the section, rank of the list, its name, the number in it.

Blocks that run one after the other sort so; those of one order run together.
"""


def sections_and_orders(blocks: Sequence[Block]) -> list[tuple[Section, Order]]:
    """For each block of one network, its section and what its blocks sort by as they run.

    A network with an encoder and a decoder runs through the one, then through what is beside both,
    then through the other; between the encoder's input and the decoder's output there are no
    inputs and outputs, but ``mid`` where there are ``down`` and ``up``, else ``body``.
    """
    has_halves = any(block.half for block in blocks)
    alone = all(block.number is None for block in blocks)
    own: list[Section] = [_own_section(block, alone=alone) for block in blocks]
    between: Section = "mid" if {"down", "up"} & set(own) else "body"
    found: list[tuple[Section, Order]] = []
    for block, section in zip(blocks, own, strict=True):
        half = _half(block, section) if has_halves else _ENCODER
        is_between = has_halves and _is_between(half, section)
        found.append((between if is_between else section, _order(block, section, half)))
    return found


def _own_section(block: Block, *, alone: bool) -> Section:
    """The section as the block's own name tells it."""
    name = block.container.lower()
    if name.startswith("mid") or "quant" in name:
        return "mid"
    if name == "input_blocks" and block.number == 0:
        return "input"  # CompVis' conv_in
    if block.number is not None or name.startswith(("down_", "up_")):
        return _list_section(name)
    if _OUTPUT_WORDS & set(name.split("_")) or name in _OUTPUT_NAMES:
        return "output"
    return "body" if alone and layer_kind((name,)) == "other" else "input"


def _list_section(name: str) -> Section:
    for start, section in _LISTS:
        if name.startswith(start):
            return section
    return "body"


def _half(block: Block, section: Section) -> int:
    if block.half:
        return _ENCODER if block.half == "encoder" else _DECODER
    if section == "output":
        return _DECODER
    return _ENCODER if layer_kind((block.container,)) == "embedding" else _BETWEEN


def _is_between(half: int, section: Section) -> bool:
    return (
        half == _BETWEEN
        or (half == _ENCODER and section == "output")
        or (half == _DECODER and section == "input")
    )


def _order(block: Block, section: Section, half: int) -> Order:
    if section in ("input", "output"):
        return (half, _RANKS[section], 0, "", 0)
    words = block.container.lower().split("_")
    # "refiner" blocks prepare one of the inputs; "single" ones follow those of two streams
    list_rank = ("refiner" not in words) + ("single" in words) + ("post" in words)
    # CompVis' decoder runs its "up" from the last number down
    number = -(block.number or 0) if block.container == "up" else block.number or 0
    return (half, _RANKS[section], list_rank, block.container, number)
