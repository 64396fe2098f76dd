"""Tiny Stable Diffusion models of random weights, whole and as experts, in all their file forms."""

from __future__ import annotations

import warnings
from typing import Any, cast

import diffusers
import torch
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from .original_names import original_clip, original_open_clip, original_unet, original_vae

State = dict[str, Tensor]
CONTEXT = {"1": 768, "2": 1024, "xl": 2048}


def unet(family: str = "1", seed: int = 0) -> nn.Module:
    linear = family != "1"
    extra: dict[str, Any] = {}
    if family == "xl":
        extra = {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "projection_class_embeddings_input_dim": 64,
            "transformer_layers_per_block": (1, 2),
        }
    return _seeded(
        seed,
        lambda: cast(Any, diffusers.UNet2DConditionModel)(
            sample_size=8,
            layers_per_block=2,
            block_out_channels=(8, 16),
            norm_num_groups=4,
            attention_head_dim=4,
            cross_attention_dim=CONTEXT[family],
            use_linear_projection=linear,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D")
            if family != "xl"
            else ("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D")
            if family != "xl"
            else ("CrossAttnUpBlock2D", "UpBlock2D"),
            **extra,
        ),
    )


def vae(seed: int = 1) -> nn.Module:
    return _seeded(
        seed,
        lambda: cast(Any, diffusers.AutoencoderKL)(
            block_out_channels=(8, 16),
            norm_num_groups=4,
            layers_per_block=1,
            down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
            up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        ),
    )


def text_encoder(seed: int = 2, width: int = 16, projection: bool = False) -> nn.Module:
    config = CLIPTextConfig(
        hidden_size=width,
        projection_dim=width,
        intermediate_size=2 * width,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=50,
        max_position_embeddings=8,
        bos_token_id=0,
        eos_token_id=1,
    )
    kind = CLIPTextModelWithProjection if projection else CLIPTextModel
    return _seeded(seed, lambda: kind(config))


def pipeline(family: str = "1", seed: int = 0) -> Any:
    parts: dict[str, Any] = {
        "vae": vae(seed + 1),
        "text_encoder": text_encoder(seed + 2),
        "tokenizer": None,
        "unet": unet(family, seed),
        "scheduler": diffusers.DDIMScheduler(),
    }
    if family == "xl":
        second = text_encoder(seed + 3, width=24, projection=True)
        return cast(Any, diffusers.StableDiffusionXLPipeline)(
            **parts, text_encoder_2=second, tokenizer_2=None
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there is no safety checker
        return cast(Any, diffusers.StableDiffusionPipeline)(
            **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
        )


def original_state(pipe: Any, family: str = "1") -> State:
    """A pipeline's weights under the names of the original code."""
    state = original_unet(state_of(pipe.unet)) | original_vae(state_of(pipe.vae))
    text = state_of(pipe.text_encoder)
    if family == "1":
        state |= original_clip(text, "cond_stage_model.transformer.")
    elif family == "2":
        state |= original_open_clip(text, "cond_stage_model.model.")
    else:
        state |= original_clip(text, "conditioner.embedders.0.transformer.")
        second = state_of(pipe.text_encoder_2)
        state |= original_open_clip(second, "conditioner.embedders.1.model.")
    return state | {"betas": torch.linspace(0, 1, 10)}


def state_of(module: nn.Module) -> State:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def perturb(module: nn.Module, seed: int, size: float = 0.01) -> None:
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += size * torch.randn(parameter.shape, generator=draws)


def _seeded(seed: int, make: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()
