"""What CompVis' Stable Diffusion calls the tensors of two of the tiny networks."""

from __future__ import annotations


def ldm_unet_names() -> list[str]:
    """The tensors of CompVis' U-Net whose diffusers name is ``stable_diffusion_1``."""
    names = _layers("time_embed", "0", "2") + _layers("input_blocks.0", "0")
    number = 1
    for level in range(4):
        for layer in range(2):
            shortcut = level == 1 and layer == 0
            names += _ldm_resnet(f"input_blocks.{number}.0", shortcut=shortcut)
            names += _ldm_attention(f"input_blocks.{number}.1") if level < 3 else []
            number += 1
        if level < 3:
            names += _layers(f"input_blocks.{number}.0", "op")
            number += 1
    names += _ldm_resnet("middle_block.0") + _ldm_resnet("middle_block.2")
    names += _ldm_attention("middle_block.1")
    for number in range(12):
        names += _ldm_resnet(f"output_blocks.{number}.0", shortcut=True)
        names += _ldm_attention(f"output_blocks.{number}.1") if number > 2 else []
        if number in (2, 5, 8):
            names += _layers(f"output_blocks.{number}.{1 if number == 2 else 2}", "conv")
    return names + _layers("out", "0", "2")


def ldm_autoencoder_names() -> list[str]:
    """The tensors of CompVis' autoencoder whose diffusers name is ``autoencoder``."""
    names = _layers("quant_conv", "") + _layers("post_quant_conv", "")
    for half in ("encoder", "decoder"):
        names += _layers(half, "conv_in", "norm_out", "conv_out")
        for block in (f"{half}.mid.block_1", f"{half}.mid.block_2"):
            names += _layers(block, "norm1", "conv1", "norm2", "conv2")
        names += _layers(f"{half}.mid.attn_1", "norm", "q", "k", "v", "proj_out")
    for level in range(2):
        for layer in range(2):
            block = f"encoder.down.{level}.block.{layer}"
            names += _layers(block, "norm1", "conv1", "norm2", "conv2")
            names += _layers(block, "nin_shortcut") if (level, layer) == (1, 0) else []
        for layer in range(3):
            block = f"decoder.up.{level}.block.{layer}"
            names += _layers(block, "norm1", "conv1", "norm2", "conv2")
            names += _layers(block, "nin_shortcut") if (level, layer) == (0, 0) else []
    names += _layers("encoder.down.0.downsample", "conv")
    return names + _layers("decoder.up.1.upsample", "conv")


def _layers(module: str, *layers: str) -> list[str]:
    paths = [f"{module}.{layer}".removesuffix(".") for layer in layers]
    return [f"{path}.{parameter}" for path in paths for parameter in ("weight", "bias")]


def _ldm_resnet(module: str, *, shortcut: bool = False) -> list[str]:
    layers = ["in_layers.0", "in_layers.2", "emb_layers.1", "out_layers.0", "out_layers.3"]
    return _layers(module, *layers, *(["skip_connection"] if shortcut else []))


def _ldm_attention(module: str) -> list[str]:
    block = f"{module}.transformer_blocks.0"
    names = _layers(module, "norm", "proj_in", "proj_out")
    names += _layers(block, "norm1", "norm2", "norm3", "ff.net.0.proj", "ff.net.2")
    for attention in (f"{block}.attn1", f"{block}.attn2"):
        names += [f"{attention}.{layer}.weight" for layer in ("to_q", "to_k", "to_v")]
        names += _layers(attention, "to_out.0")
    return names
