"""The names that the original code gives the modules of a U-Net that has diffusers' names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

_RESNET = (
    *("in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"),
    "skip_connection",
)


def original_names(names: Collection[str]) -> Mapping[str, str]:
    """The original name of each tensor of a U-Net, to the name that it has in diffusers.

    Adapters for Stable Diffusion XL name their modules so. All names that a U-Net of this depth
    can have go through diffusers' own conversion; those that lead to a tensor that is there are
    the original names.

    Args:
        names: a U-Net's tensors in diffusers' names; of other networks nothing is found.

    """
    levels = 1 + _highest(r"down_blocks\.(\d+)\.resnets\.", names)
    layers = 1 + _highest(r"down_blocks\.0\.resnets\.(\d+)\.", names)
    if levels == 0 or layers == 0:
        return {}
    from diffusers.loaders.single_file_utils import (
        DIFFUSERS_TO_LDM_MAPPING,
        LDM_UNET_KEY,
        convert_ldm_unet_checkpoint,
    )

    mapping = DIFFUSERS_TO_LDM_MAPPING["unet"]
    config: dict[str, object] = {"layers_per_block": layers}
    candidates = [*mapping["layers"].values(), *_candidates(names, levels, layers)]
    for kind, value in (("addition_embed_type", "text_time"), ("class_embed_type", "projection")):
        if not mapping[kind].keys().isdisjoint(names):
            config[kind] = value
            candidates += mapping[kind].values()
    tensors = {LDM_UNET_KEY + name: name for name in candidates}
    converted = convert_ldm_unet_checkpoint(tensors, config)
    return {old: new for new, old in converted.items() if new in names}


def _candidates(names: Collection[str], levels: int, layers: int) -> Iterator[str]:
    found = (re.search(r"_blocks?(?:\.\d+)?\.attentions\.\d+\.(.+)", name) for name in names)
    attention = sorted({match[1] for match in found if match})
    kinds = ("weight", "bias")
    resnet = [f"{part}.{kind}" for part in _RESNET for kind in kinds]
    count = levels * (layers + 1)
    for i in range(1, count):
        yield from (f"input_blocks.{i}.0.{part}" for part in resnet)
        yield from (f"input_blocks.{i}.1.{part}" for part in attention)
        if i % (layers + 1) == 0:
            yield from (f"input_blocks.{i}.0.op.{kind}" for kind in kinds)
    for i, parts in enumerate((resnet, attention, resnet)):
        yield from (f"middle_block.{i}.{part}" for part in parts)
    for i in range(count):
        block, layer = divmod(i, layers + 1)
        yield from (f"output_blocks.{i}.0.{part}" for part in resnet)
        yield from (f"output_blocks.{i}.1.{part}" for part in attention)
        if layer == layers:
            attended = any(name.startswith(f"up_blocks.{block}.attentions.") for name in names)
            yield from (f"output_blocks.{i}.{1 + attended}.conv.{kind}" for kind in kinds)


def _highest(pattern: str, names: Collection[str]) -> int:
    return max((int(found) for found in re.findall(pattern, "\n".join(names))), default=-1)
