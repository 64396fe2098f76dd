"""What a set of tensors looks like: which component, of which family. Said in error messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from .contract import TensorInfo

Layout = Mapping[str, TensorInfo]

CROSS_ATTENTION = {
    768: "Stable Diffusion 1.x",
    1024: "Stable Diffusion 2.x",
    1280: "the Stable Diffusion XL refiner",
    2048: "Stable Diffusion XL",
}
"""The width of the text embeddings that a U-Net attends to tells its family."""
EXTRA_CHANNELS = {8: " (instruct-pix2pix)", 9: " (inpainting)"}
_CONTEXT_KEYS = (
    "attn2.to_k.weight",
    *("attn2.to_k.lora_A.weight", "attn2.to_k.lora.down.weight"),
    *("attn2.processor.to_k_lora.down.weight", "attn2_to_k.lora_down.weight"),
)
_TRANSFORMERS = (
    ("Flux", ("double_blocks", "img_attn")),
    ("Flux", ("single_transformer_blocks", "context_embedder")),
    ("Stable Diffusion 3", ("joint_blocks",)),
    ("Stable Diffusion 3", ("attn.add_q_proj", "context_embedder")),
    ("Wan", ("condition_embedder", "attn1.norm_q")),
    ("PixArt", ("adaln_single", "caption_projection")),
    ("DiT", ("emb.class_embedder", "pos_embed.proj")),
)
"""What of a transformer's tensor names tells its family."""
_COMPONENT_MARKS = (
    ("controlnet", ("controlnet_down_blocks",)),
    ("vae", ("encoder.conv_in", "decoder.conv_in")),
    ("vae", ("decoder.conv_in", "post_quant_conv")),
    ("unet", ("down_blocks", "up_blocks", "conv_in")),
    ("unet", ("input_blocks", "output_blocks")),
    ("text_encoder", ("token_embedding", "position_embedding")),
    ("text_encoder", ("token_embedding", "positional_embedding")),
    ("text_encoder", ("encoder.block.0.layer.0.SelfAttention",)),
    ("transformer", ("transformer_blocks",)),
    ("transformer", ("joint_blocks",)),
    ("transformer", ("double_blocks", "single_blocks")),
    ("transformer", ("blocks.0.", "patch_embedding")),
)
_CLASSES = (
    ("controlnet", "ControlNet"),
    ("vae", "Autoencoder"),
    ("vae", "VQModel"),
    ("unet", "UNet"),
    ("prior", "Prior"),
    ("text_encoder", "Text"),
    ("text_encoder", "T5"),
    ("transformer", "Transformer"),
)


def component_of_class(name: str) -> str | None:
    """The component that a class of diffusers or transformers is, as pipelines call it."""
    if name.endswith(("Tokenizer", "TokenizerFast", "Scheduler", "Processor")):
        return None
    return next((component for component, part in _CLASSES if part in name), None)


def component_of_names(names: Iterable[str]) -> str | None:
    """The component that tensors of these names are, as pipelines call it."""
    text = "\n".join(names)
    for component, marks in _COMPONENT_MARKS:
        if all(mark in text for mark in marks):
            return component
    return None


def describe_layout(layout: Layout) -> str:
    """What the tensors look like, such as ``a Stable Diffusion XL U-Net``."""
    component = component_of_names(layout)
    if component == "unet":
        return _describe_unet(layout)
    if component == "vae":
        channels = _size(layout, r"decoder\.conv_in\.weight$", 1)
        return f"an autoencoder with {channels} latent channels"
    if component == "text_encoder":
        width = _size(layout, r"(token_embedding|SelfAttention\.q)\.weight$", 1)
        return f"a text encoder of width {width}"
    if component == "transformer":
        return f"a {_transformer_family(layout) or 'diffusion'} transformer"
    return f"{component or 'something'} of {len(layout)} tensors"


def describe_adapter(layout: Layout) -> str:
    """The family that a low-rank adapter was made for, such as ``Stable Diffusion XL``."""
    for name in layout:
        if name.endswith(_CONTEXT_KEYS) and len(layout[name].shape) > 1:
            width = layout[name].shape[1]
            return CROSS_ATTENTION.get(width, f"a U-Net with text embeddings of width {width}")
    family = _transformer_family(layout)
    if family is not None:
        return family
    if any(name.startswith(("lora_te2_", "text_encoder_2.")) for name in layout):
        return CROSS_ATTENTION[2048]
    return "a model of another kind"


def _describe_unet(layout: Layout) -> str:
    context = next((layout[name].shape for name in layout if name.endswith(_CONTEXT_KEYS)), ())
    channels = _size(layout, r"(conv_in|input_blocks\.0\.0)\.weight$", 1)
    if len(context) < 2:
        return f"an unconditional U-Net of {channels} channels"
    family = CROSS_ATTENTION.get(context[1])
    if family is None:
        return f"a U-Net with text embeddings of width {context[1]}"
    return f"a U-Net of {family}{EXTRA_CHANNELS.get(channels or 0, '')}"


def _transformer_family(layout: Layout) -> str | None:
    # adapters in kohya's names have underscores for dots
    text = "\n".join(layout)
    flat = text.replace("_", ".")
    for family, marks in _TRANSFORMERS:
        if all(mark in text or mark.replace("_", ".") in flat for mark in marks):
            return family
    return None


def _size(layout: Layout, pattern: str, axis: int) -> int | None:
    for name, info in layout.items():
        if re.search(pattern, name) and len(info.shape) > axis:
            return info.shape[axis]
    return None
