"""The names in a file of low-rank weights: which module each is for, and which factor it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ...errors import ModelError

_ADAPTER = r"(?:\.(?!weight$|bias$)[^.]+)?"
"""PEFT may leave the adapter's own name (``default``) in a name."""
_ROLES = (
    ("down", rf"\.lora_A{_ADAPTER}\.weight|\.lora_down\.weight|[._]lora\.down\.weight"),
    ("up", rf"\.lora_B{_ADAPTER}\.weight|\.lora_up\.weight|[._]lora\.up\.weight"),
    ("down", r"\.lora_linear_layer\.down\.weight"),
    ("up", r"\.lora_linear_layer\.up\.weight"),
    ("up_bias", rf"\.lora_B{_ADAPTER}\.bias"),
    ("mid", r"\.lora_mid\.weight"),
    ("embedding_down", rf"\.lora_embedding_A{_ADAPTER}"),
    ("embedding_up", rf"\.lora_embedding_B{_ADAPTER}"),
    ("magnitude", rf"\.lora_magnitude_vector{_ADAPTER}(?:\.weight)?"),
    ("dora_scale", r"\.dora_scale"),
    ("alpha", r"(?:[._]lora)?\.alpha"),
    ("diff", r"\.diff|\.w_norm"),
    ("diff_bias", r"\.diff_b|\.b_norm"),
)
_LYCORIS = rf"\.(hada_[wt][12](?:_[ab])?|lokr_[wt][12](?:_[ab])?){_ADAPTER}"
_MARKS = ("lora_", "lora.", "hada_", "lokr_", "dora_scale", ".alpha", ".diff", ".w_norm", ".b_norm")
_WEAK = ("alpha", "diff", "diff_bias")
"""Endings that tensors of an ordinary model may have too."""
_OTHER_KINDS = re.compile(
    r"\.(?:oft_\w+|boft_\w+|ia3_\w+|on_input|vera_\w+|lora_E|ranknum|a[12]\.weight|b[12]\.weight"
    r"|scalar|lora_route\w*)(?:\.\w+)?$"
)
_PATTERNS = (
    *((role, re.compile(rf"(?P<module>.+?)(?:{pattern})$")) for role, pattern in _ROLES),
    ("", re.compile(rf"(?P<module>.+?){_LYCORIS}$")),
)


@dataclass(frozen=True)
class AdapterModule:
    """What an adapter holds for one module of the model."""

    name: str
    """As the file writes it."""
    tensors: dict[str, str] = field(default_factory=dict)
    """The names of its tensors, by their role: ``down``, ``up``, ``alpha``, …"""


def role_of(name: str) -> tuple[str, str] | None:
    """The module and the role of a tensor of an adapter; None where it is no such tensor."""
    if not any(mark in name for mark in _MARKS):  # spares a model's many names the patterns
        return None
    for role, pattern in _PATTERNS:
        match = pattern.match(name)
        if match is not None:
            return match["module"], role or match[2]
    return None


def is_adapter(names: Iterable[str]) -> bool:
    """Whether these are the names of low-rank weights, and not of a model."""
    found = [role_of(name) for name in names]
    kinds = {found_role[1] for found_role in found if found_role}
    return bool(kinds.difference(_WEAK)) or (None not in found and bool(kinds))


def list_modules(names: Iterable[str], origin: str) -> tuple[list[AdapterModule], list[str]]:
    """The modules that an adapter changes, and the tensors that belong to none.

    Args:
        names: of all its tensors.
        origin: for messages.

    Raises:
        ModelError: a kind of adapter that is not read.

    """
    modules: dict[str, AdapterModule] = {}
    rest: list[str] = []
    for name in sorted(names):
        found = role_of(name)
        if found is not None:
            module, role = found
            modules.setdefault(module, AdapterModule(module)).tensors[role] = name
        elif _OTHER_KINDS.search(name):
            raise ModelError(
                f"{origin} holds {name!r}: this kind of adapter is not read",
                choices=["LoRA", "DoRA", "LoCon", "LoHa", "LoKr"],
                fix="merge it into its base with the library that made it, and give the result",
            )
        else:
            rest.append(name)
    return list(modules.values()), rest


_OLD_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}


def spellings(module: str) -> Iterator[str]:
    """A module's name as files of several ages of diffusers write it, the given one first."""
    yield module
    plain = module.replace(".processor", "")
    yield plain
    if plain.endswith(".to_out"):
        yield f"{plain}.0"
    parent, _, last = plain.rpartition(".")
    if last in _OLD_TEXT:
        yield f"{parent}.{_OLD_TEXT[last]}"
