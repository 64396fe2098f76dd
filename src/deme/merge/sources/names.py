"""Names of the same weight in files of different ages."""

from __future__ import annotations

import re
from collections.abc import Iterable

_WRAPPERS = ("module.", "_orig_mod.")
"""What data-parallel training and ``torch.compile`` put before names."""
_CLIP = "text_model."
"""transformers 5.6 dropped this prefix from the names of CLIP's text model."""
_OLD_ATTENTION = re.compile(r"(\.attentions\.\d+)\.(query|key|value|proj_attn)\.(weight|bias)$")
_NEW_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
"""diffusers 0.16 renamed the attention of its autoencoders and unconditional U-Nets."""


def canonical_name(name: str) -> str:
    """The name that today's libraries would give the tensor."""
    while name.startswith(_WRAPPERS):
        name = name.partition(".")[2]
    name = name.removeprefix(_CLIP)
    return _OLD_ATTENTION.sub(lambda m: f"{m[1]}.{_NEW_ATTENTION[m[2]]}.{m[3]}", name)


def match_names(base: Iterable[str], expert: Iterable[str]) -> dict[str, str]:
    """The expert's name of each of the base's tensors that it has too.

    A name that both have is the same tensor; others are compared as :func:`canonical_name`.
    """
    theirs = set(expert)
    by_canonical = {canonical_name(name): name for name in sorted(theirs)}
    matched: dict[str, str] = {}
    for name in base:
        found = name if name in theirs else by_canonical.get(canonical_name(name))
        if found is not None:
            matched[name] = found
    return matched
