"""Single files of Stable Diffusion 1.x, 2.x and XL, under the names of the original code.

All conversion of names is diffusers' own; what it does is learned by :mod:`.tracing`, so that
nothing is read before it is needed, and an expert in diffusers' names finds its way back.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any

from ...errors import ModelError
from .contract import Source, WeightSource
from .converting import ConvertedWeights, Plan
from .families import component_of_names
from .mapped import MappedSource
from .tracing import trace_conversion

PREFIXES = (
    ("model.diffusion_model.", "unet"),
    ("first_stage_model.", "vae"),
    ("cond_stage_model.", "text_encoder"),
    ("conditioner.embedders.0.model.", "text_encoder_2"),  # the XL refiner has no other
    ("conditioner.embedders.0.", "text_encoder"),
    ("conditioner.embedders.1.", "text_encoder_2"),
)
"""What the original code calls a pipeline's components."""
REST = "other"
"""Tensors of a single file that belong to no component: the noise schedule, averaged weights."""
_OLD_TEXT = "cond_stage_model."
"""Where 1.x and 2.x, which have one text encoder, keep it."""
_BARE = {"input_blocks.0.0.weight": "unet", "decoder.up.0.block.0.norm1.weight": "vae"}
"""A tensor's name that tells a component in the original names, alone in its file."""
_OPEN_CLIP = ("cond_stage_model.model.", "conditioner.embedders.1.model.", PREFIXES[3][0])


def original_component(name: str) -> str | None:
    """The component that a tensor of a single file in the original names belongs to."""
    return next((part for prefix, part in PREFIXES if name.startswith(prefix)), None)


def is_original(names: Collection[str]) -> bool:
    """Whether these are the names of the original code, and not those of diffusers."""
    return any(original_component(name) for name in names) or not _BARE.keys().isdisjoint(names)


def split_components(source: MappedSource) -> dict[str, MappedSource]:
    """A single file's components under the file's own names, and what is left as ``other``."""
    bare = next((part for name, part in _BARE.items() if name in source.layout), None)
    names: dict[str, list[str]] = {}
    for name in source.layout:
        names.setdefault(original_component(name) or bare or REST, []).append(name)
    if "unet" in names and component_of_names(names["unet"]) == "transformer":
        names["transformer"] = names.pop("unet")  # Stable Diffusion 3 and Flux kept the prefix
    return {
        part: source.select(found, f"{source.origin} ({part})")
        for part, found in sorted(names.items())
    }


def takes_pooled(components: Mapping[str, Source]) -> bool:
    """Whether a single file's ``label_emb`` takes the pooled text (XL) and not classes (2.x)."""
    encoder = components.get("text_encoder")
    return not isinstance(encoder, WeightSource) or not any(
        name.startswith(_OLD_TEXT) for name in encoder.layout
    )


def as_diffusers(component: str, source: WeightSource, *, has_pooled: bool) -> ConvertedWeights:
    """A component of a single file under the names that diffusers gives its tensors.

    Args:
        component: one of those of :func:`split_components`.
        source: the component under the file's names.
        has_pooled: whether the U-Net's ``label_emb`` takes the pooled text (XL) and not classes.

    Raises:
        ModelError: diffusers' conversion for Stable Diffusion 1.x, 2.x and XL does not apply.

    """
    plan = conversion_plan(component, source, has_pooled=has_pooled)
    if not plan:
        raise ModelError(
            f"{source.origin} is not in the names of Stable Diffusion 1.x, 2.x or XL, and cannot "
            "be brought to those of diffusers",
            fix="convert it to a diffusers folder (from_single_file, then save_pretrained), or "
            "give base and experts in the same names",
        )
    return ConvertedWeights(source, plan)


def conversion_plan(component: str, source: WeightSource, *, has_pooled: bool) -> Plan:
    """What diffusers' conversion makes of a component; empty where it does not apply."""
    from diffusers.loaders import single_file_utils as diffusers_conversion

    names = source.layout
    prefix = "" if any(map(original_component, names)) else _prefix_of(component)
    layout = {prefix + name: info for name, info in names.items()}

    def convert(tensors: dict[str, Any]) -> Mapping[str, Any]:
        if component == "unet" and any("input_blocks." in name for name in tensors):
            config = unet_config(tensors, has_pooled=has_pooled)
            return diffusers_conversion.convert_ldm_unet_checkpoint(tensors, config)
        if component == "vae":
            return diffusers_conversion.convert_ldm_vae_checkpoint(tensors, _vae_config(tensors))
        for start in _OPEN_CLIP:
            if any(name.startswith(start) for name in tensors):
                model = SimpleNamespace(config=_open_clip_config(tensors, start))
                return diffusers_conversion.convert_open_clip_checkpoint(model, tensors, start)
        return diffusers_conversion.convert_ldm_clip_checkpoint(tensors)

    try:
        plan = trace_conversion(layout, convert)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return {}  # tensors are missing that every model of these families has
    return {
        new: (type(part)(part.name.removeprefix(prefix), part.steps), shape)
        for new, (part, shape) in plan.items()
    }


def unet_config(names: Iterable[str], *, has_pooled: bool) -> dict[str, Any]:
    """What the conversion of a U-Net needs to know of its configuration, from its tensors."""
    names = set(names)
    blocks = {int(i) for i in re.findall(r"input_blocks\.(\d+)\.", "\n".join(names))}
    downs = {int(i) for i in re.findall(r"input_blocks\.(\d+)\.0\.op\.weight", "\n".join(names))}
    config: dict[str, Any] = {"layers_per_block": min(downs, default=max(blocks) + 1) - 1}
    if any(".label_emb.0.0." in name for name in names):
        key = "addition_embed_type" if has_pooled else "class_embed_type"
        config[key] = "text_time" if has_pooled else "projection"
    return config


def _vae_config(names: Iterable[str]) -> dict[str, Any]:
    text = "\n".join(names)
    levels = len(set(re.findall(r"encoder\.down\.(\d+)\.", text)))
    ups = len(set(re.findall(r"decoder\.up\.(\d+)\.", text)))
    return {"down_block_types": [None] * levels, "up_block_types": [None] * ups}


def _open_clip_config(tensors: Mapping[str, Any], start: str) -> SimpleNamespace:
    return SimpleNamespace(hidden_size=tensors[f"{start}ln_final.weight"].shape[0])


def _prefix_of(component: str) -> str:
    return next((prefix for prefix, part in PREFIXES if part == component), "")
