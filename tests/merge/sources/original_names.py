"""Diffusers' names of Stable Diffusion's tensors to those of the original code, written out anew.

The package only ever goes the other way, through diffusers' own functions, so this is a reference
of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_OUTER = {
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "class_embedding.linear_1": "label_emb.0.0",
    "class_embedding.linear_2": "label_emb.0.2",
}
_ATTENTION = {
    "group_norm": "norm",
    "to_q": "q",
    "to_k": "k",
    "to_v": "v",
    "to_out.0": "proj_out",
}


def unet_name(name: str, layers: int, attended: set[int]) -> str:
    """``attended``: the up blocks that have attention."""
    path, _, kind = name.rpartition(".")
    if path in _OUTER:
        return f"{_OUTER[path]}.{kind}"
    match = re.match(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    if match is None:
        match = re.match(r"mid_block\.(\w+)\.(\d+)\.(.+)", name)
        assert match is not None, name
        if match[1] == "attentions":
            return f"middle_block.1.{match[3]}"
        return f"middle_block.{2 * int(match[2])}.{_resnet(match[3])}"
    side, block, part, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    start = block * (layers + 1)
    if side == "down":
        if part == "downsamplers":
            return f"input_blocks.{start + layers + 1}.0.op.{kind}"
        place = f"input_blocks.{1 + start + layer}"
    else:
        if part == "upsamplers":
            return f"output_blocks.{start + layers}.{2 if block in attended else 1}.conv.{kind}"
        place = f"output_blocks.{start + layer}"
    return f"{place}.0.{_resnet(rest)}" if part == "resnets" else f"{place}.1.{rest}"


def _resnet(rest: str) -> str:
    part, _, kind = rest.rpartition(".")
    return f"{_RESNET[part]}.{kind}"


def original_unet(weights: Weights) -> dict[str, Tensor]:
    layers = 1 + max(
        int(i) for i in re.findall(r"down_blocks\.0\.resnets\.(\d+)", "\n".join(weights))
    )
    attended = {int(i) for i in re.findall(r"up_blocks\.(\d+)\.attentions", "\n".join(weights))}
    prefix = "model.diffusion_model."
    return {prefix + unet_name(name, layers, attended): t for name, t in weights.items()}


def original_vae(weights: Weights) -> dict[str, Tensor]:
    levels = 1 + max(int(i) for i in re.findall(r"decoder\.up_blocks\.(\d+)", "\n".join(weights)))
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        new = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        new = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", new)
        new = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", new)
        new = re.sub(
            r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", new
        )
        new = re.sub(
            r"up_blocks\.(\d+)\.upsamplers\.0",
            lambda m: f"up.{levels - 1 - int(m[1])}.upsample",
            new,
        )
        new = re.sub(r"mid_block\.resnets\.(\d+)", lambda m: f"mid.block_{int(m[1]) + 1}", new)
        attention = re.match(r"(\w+)\.mid_block\.attentions\.0\.(.+)\.(weight|bias)$", new)
        if attention is not None:
            part = _ATTENTION[attention[2]]
            new = f"{attention[1]}.mid.attn_1.{part}.{attention[3]}"
            if tensor.ndim == 2:
                tensor = tensor[:, :, None, None]
        found[f"first_stage_model.{new}"] = tensor
    return found


def original_clip(weights: Weights, prefix: str) -> dict[str, Tensor]:
    return {
        f"{prefix}text_model.{name.removeprefix('text_model.')}": t for name, t in weights.items()
    }


def original_open_clip(weights: Weights, prefix: str) -> dict[str, Tensor]:
    plain = {name.removeprefix("text_model."): tensor for name, tensor in weights.items()}
    found: dict[str, Tensor] = {}
    for name, tensor in plain.items():
        outer = {
            "embeddings.token_embedding.weight": "token_embedding.weight",
            "embeddings.position_embedding.weight": "positional_embedding",
            "final_layer_norm.weight": "ln_final.weight",
            "final_layer_norm.bias": "ln_final.bias",
        }
        if name in outer:
            found[prefix + outer[name]] = tensor
        elif name == "text_projection.weight":
            found[f"{prefix}text_projection"] = tensor.T.contiguous()
        else:
            match = re.match(r"encoder\.layers\.(\d+)\.(.+)\.(weight|bias)$", name)
            assert match is not None, name
            block, part, kind = f"{prefix}transformer.resblocks.{match[1]}", match[2], match[3]
            if part == "self_attn.q_proj":
                layer = f"encoder.layers.{match[1]}.self_attn"
                fused = [plain[f"{layer}.{one}_proj.{kind}"] for one in "qkv"]
                found[f"{block}.attn.in_proj_{kind}"] = torch.cat(fused)
            elif part not in ("self_attn.k_proj", "self_attn.v_proj"):
                parts = {
                    "self_attn.out_proj": "attn.out_proj",
                    "layer_norm1": "ln_1",
                    "layer_norm2": "ln_2",
                    "mlp.fc1": "mlp.c_fc",
                    "mlp.fc2": "mlp.c_proj",
                }
                found[f"{block}.{parts[part]}.{kind}"] = tensor
    return found
