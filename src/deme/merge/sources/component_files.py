"""Which files of a folder are a component's weights: variants, shards, formats."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ...errors import ModelError
from .mapped import MappedSource
from .tensor_files import open_shards, open_tensor_file

STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
"""How diffusers and transformers name weights."""
FORMATS = ("safetensors", "bin")
"""In the order of preference."""

_STEM = rf"(?P<stem>{'|'.join(STEMS)})"
_FORMAT = rf"(?P<format>{'|'.join(FORMATS)})"
_VARIANT = r"\.(?P<variant>[A-Za-z0-9_]+)"
_SHARD = r"-\d+-of-\d+"
_PATTERNS = (
    ("whole", rf"{_STEM}(?:{_VARIANT})?\.{_FORMAT}"),
    ("index", rf"{_STEM}\.{_FORMAT}\.index(?:{_VARIANT})?\.json"),
    ("index", rf"{_STEM}\.{_FORMAT}{_VARIANT}\.index\.json"),  # diffusers before 0.31
    ("shard", rf"{_STEM}(?:{_VARIANT})?{_SHARD}\.{_FORMAT}"),
    ("shard", rf"{_STEM}{_SHARD}{_VARIANT}\.{_FORMAT}"),  # diffusers before 0.31
)


@dataclass(frozen=True)
class WeightFiles:
    """One set of weights in a folder: a whole file, or the index of shards."""

    path: Path
    variant: str | None
    format: str
    stem: str
    sharded: bool

    def open(self, origin: str) -> MappedSource:
        """Its tensors; ``origin`` goes into messages, with the variant.

        Raises:
            ModelError: a format that is not read, or a pickle of more than tensors.
            StorageError: a file is missing, truncated or cannot be read.

        """
        if self.variant is not None:
            origin = f"{origin} ({self.variant})"
        return (open_shards if self.sharded else open_tensor_file)(self.path, origin)

    def preference(self) -> tuple[int, int, bool]:
        """Sorts what a loader would take first to the front.

        Where a folder has shards and a whole file, diffusers takes the shards, transformers not.
        """
        of_diffusers = self.stem == STEMS[0]
        order = FORMATS.index(self.format), STEMS.index(self.stem)
        return (*order, self.sharded != of_diffusers)


def list_weight_files(folder: Path) -> list[WeightFiles]:
    """All the sets of weights in a folder, the preferred first.

    Raises:
        ModelError: shards without an index.

    """
    found: list[WeightFiles] = []
    shards: set[tuple[str, str | None, str]] = set()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        for role, pattern in _PATTERNS:
            match = re.fullmatch(pattern, path.name)
            if match is None or not path.is_file():
                continue
            stem, kind = match["stem"], match["format"]
            variant = match["variant"]
            if role == "shard":
                shards.add((stem, variant, kind))
            else:
                found.append(WeightFiles(path, variant, kind, stem, role == "index"))
            break
    lost = shards - {(files.stem, files.variant, files.format) for files in found}
    if lost and not found:
        stem, variant, kind = sorted(lost, key=str)[0]
        index = f"{stem}.{kind}.index{f'.{variant}' if variant else ''}.json"
        raise ModelError(
            f"{folder} holds shards of weights without their index {index}",
            fix="copy or download the folder again",
        )
    return sorted(found, key=WeightFiles.preference)


def choose_weight_files(
    folder: Path, variant: str | None, *, or_default: bool = False
) -> WeightFiles | None:
    """The weights of a component's folder; None where it holds none.

    Args:
        folder: the component's folder.
        variant: ``fp16``, ``ema``, …; None takes the weights without a variant, or the only
            variant that there is.
        or_default: where the variant is missing, take the weights without one, as diffusers does
            for some of a pipeline's components.

    Raises:
        ModelError: there is no such variant, or several and none is asked for.

    """
    files = list_weight_files(folder)
    if not files:
        return None
    wanted = [one for one in files if one.variant == variant]
    if not wanted and variant is not None and or_default:
        wanted = [one for one in files if one.variant is None]
    if wanted:
        return wanted[0]
    variants = sorted({one.variant for one in files if one.variant is not None})
    if variant is None and len(variants) == 1:
        return files[0]
    asked = f"no {variant} weights" if variant else "weights in several variants only"
    raise ModelError(
        f"{folder} holds {asked}",
        choices=variants or ["no variant"],
        fix="name one of these as variant" if variants else "leave variant out",
    )
