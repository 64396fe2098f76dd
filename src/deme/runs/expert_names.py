"""Names for experts that come from files: short, plain as folder names, and told apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ..denoisers.loading import WEIGHT_FILES
from ..merge.sources.component_files import STEMS
from ..merge.sources.opening import ADAPTER_STEMS

LIBRARY_STEMS = (*STEMS, *ADAPTER_STEMS)
"""What libraries call every file of weights: the folder says what it is."""
_NOT_PLAIN = re.compile(r"[^\w.-]+")
_UNNAMED = "expert"


def name_experts(paths: Sequence[str], reserved: Iterable[str] = ()) -> list[str]:
    """A name for each path: its file's or folder's, with as much before it as tells them apart.

    ``low/unet.safetensors`` and ``high/unet.safetensors`` are ``low-unet`` and ``high-unet``. What
    no folder tells apart is numbered. Letter case does not tell apart: not every disk keeps it.

    Args:
        paths: files, folders or hub ids.
        reserved: names that are taken.

    """
    parts = [_parts(path) for path in paths]
    depths = [1] * len(paths)
    taken = [name.casefold() for name in reserved]
    while True:
        names = ["-".join(own[-depth:]) for own, depth in zip(parts, depths, strict=True)]
        counts = Counter([*taken, *(name.casefold() for name in names)])
        deeper = [
            index
            for index, name in enumerate(names)
            if counts[name.casefold()] > 1 and depths[index] < len(parts[index])
        ]
        if not deeper:
            return _numbered(names, taken)
        for index in deeper:
            depths[index] += 1


def _parts(path: str) -> list[str]:
    """The path's folders and its last name without a suffix, each plain."""
    *folders, last = [part for part in re.split(r"[/\\]", path) if part.strip(".~ ")] or [""]
    suffix = next((end for end in WEIGHT_FILES if last.casefold().endswith(end)), "")
    stem = last[: len(last) - len(suffix)]
    named = folders if stem in LIBRARY_STEMS and folders else [*folders, stem]
    plain = [_NOT_PLAIN.sub("-", part).strip("-.") for part in named]
    return [part for part in plain if part] or [_UNNAMED]


def _numbered(names: Sequence[str], taken: Iterable[str]) -> list[str]:
    seen = set(taken)
    found: list[str] = []
    for name in names:
        unique, number = name, 1
        while unique.casefold() in seen:
            number += 1
            unique = f"{name}-{number}"
        seen.add(unique.casefold())
        found.append(unique)
    return found
