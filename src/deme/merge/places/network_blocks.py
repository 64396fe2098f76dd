"""The blocks of a network, found in the tree of its tensors' names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

Tree = dict[str, "Tree"]
"""Parts of names; a tensor is an empty tree."""
Path = tuple[str, ...]

HALVES = ("encoder", "decoder")
NETWORK_LISTS = ("embedders",)
"""Lists of whole networks: the text encoders in the original names of Stable Diffusion XL."""


@dataclass(frozen=True)
class Block:
    """A block: one entry of the network's list of blocks, or a module that stands beside them."""

    path: Path
    """The parts of its name."""
    network: Path
    """What the names of its network's tensors begin with, in a file that holds several."""
    container: str
    """The list that it is in, or its own name."""
    number: int | None
    """Its place in the list; None for a module that stands by itself."""
    half: str = ""
    """``encoder`` or ``decoder`` of a network that has both; empty otherwise."""

    @property
    def wrapped(self) -> int:
        """How many parts of its path only wrap it."""
        return len(self.path) - (1 if self.number is None else 2)

    @property
    def name(self) -> str:
        """Its name without what wraps the network: ``layers.5``, ``encoder.mid_block``."""
        own = self.container if self.number is None else f"{self.container}.{self.number}"
        return f"{self.half}.{own}" if self.half else own


def find_blocks(names: Iterable[Path]) -> dict[Path, Block]:
    """For each name, the block that holds it.

    A network is a module with a list of numbered modules in it: those are its blocks, and so is
    each module beside the list. A module without such a list that holds one further down
    (``text_model``, ``model.diffusion_model``) only wraps the network. Where several modules do,
    each is a network of its own, except for the encoder and the decoder of one.
    """
    names = list(names)
    tree: Tree = {}
    for name in names:
        node = tree
        for part in name:
            node = node.setdefault(part, {})
    blocks = {block.path: block for block in _with_halves(list(_walk(tree, (), ())))}
    return {name: _holder(name, blocks) for name in names}


def _holder(name: Path, blocks: Mapping[Path, Block]) -> Block:
    prefixes = (name[:end] for end in range(len(name), 0, -1))
    found = (blocks[prefix] for prefix in prefixes if prefix in blocks)
    # a tensor that is called like a module with tensors in it stands by itself
    return next(found, Block(name, (), name[-1], None))


def _walk(node: Tree, path: Path, network: Path) -> Iterator[Block]:
    lists = {key for key, child in node.items() if _is_block_list(key, child)}
    wrappers = set() if lists else {key for key, child in node.items() if _holds_list(child)}
    several = len(wrappers) > 1 and not wrappers <= set(HALVES)
    for key, child in node.items():
        here = (*path, key)
        if key in lists:
            yield from (Block((*here, i), network, key, int(i)) for i in child)
        elif key in wrappers:
            yield from _walk(child, here, here if several else network)
        else:
            yield Block(here, network, key, None)


def _is_block_list(key: str, node: Tree) -> bool:
    """Whether these are numbered modules with modules in them, and not the layers of one module.

    CompVis' ``middle_block`` is a sequence, and one block all the same.
    """
    numbered = bool(node) and all(part.isdecimal() for part in node)
    one_block = key.startswith("mid")
    if not numbered or one_block or key in NETWORK_LISTS:
        return False
    return any(map(_has_modules, node.values()))


def _has_modules(node: Tree) -> bool:
    return any(
        child and (not key.isdecimal() or _has_modules(child)) for key, child in node.items()
    )


def _holds_list(node: Tree) -> bool:
    return any(_is_block_list(key, child) or _holds_list(child) for key, child in node.items())


def _with_halves(blocks: list[Block]) -> list[Block]:
    """Names the half that each block is in, where its network has an encoder and a decoder."""
    found: dict[Path, set[str]] = {}
    for block in blocks:
        found.setdefault(block.network, set()).add(_wrapped_in(block))
    return [
        replace(block, half=_wrapped_in(block)) if found[block.network] >= set(HALVES) else block
        for block in blocks
    ]


def _wrapped_in(block: Block) -> str:
    wrappers = block.path[len(block.network) : block.wrapped]
    return next((part for part in reversed(wrappers) if part in HALVES), "")
