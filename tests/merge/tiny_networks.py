"""Tiny networks of many families, built from their configurations, and what they run on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch
import transformers
from torch import nn

Inputs = dict[str, Any]
TIMESTEP = torch.tensor([7])


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def unet2d() -> tuple[nn.Module, Inputs]:
    network = diffusers.UNet2DModel(
        sample_size=16,
        layers_per_block=1,
        block_out_channels=(8, 16, 16),
        norm_num_groups=4,
        attention_head_dim=8,
        num_class_embeds=3,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    )
    return network, {
        "sample": noise(1, 3, 16, 16),
        "timestep": 7,
        "class_labels": torch.tensor([1]),
    }


def stable_diffusion_1() -> tuple[nn.Module, Inputs]:
    network = diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=2,
        block_out_channels=(8, 16, 16, 16),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=8,
    )
    return network, {
        "sample": noise(1, 4, 8, 8),
        "timestep": 7,
        "encoder_hidden_states": noise(1, 5, 8),
    }


def stable_diffusion_xl() -> tuple[nn.Module, Inputs]:
    network = diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(8, 16, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=8,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2, 3),  # pyright: ignore[reportArgumentType]
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
    )
    added = {"text_embeds": noise(1, 8), "time_ids": noise(1, 2)}
    return network, {
        "sample": noise(1, 4, 8, 8),
        "timestep": 7,
        "encoder_hidden_states": noise(1, 5, 8),
        "added_cond_kwargs": added,
    }


def autoencoder() -> tuple[nn.Module, Inputs]:
    network = diffusers.AutoencoderKL(
        block_out_channels=(8, 16),  # pyright: ignore[reportArgumentType]  # annotated too narrowly
        down_block_types=("DownEncoderBlock2D",) * 2,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * 2,  # pyright: ignore[reportArgumentType]
        layers_per_block=2,
        norm_num_groups=4,
        latent_channels=4,
    )
    return network, {"sample": noise(1, 3, 16, 16)}


def stable_diffusion_3() -> tuple[nn.Module, Inputs]:
    network = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=12,  # so that the order of the numbers is not that of the letters
        attention_head_dim=4,
        num_attention_heads=2,
        joint_attention_dim=8,
        caption_projection_dim=8,
        pooled_projection_dim=8,
        dual_attention_layers=(0, 1),
        qk_norm="rms_norm",
    )
    return network, {
        "hidden_states": noise(1, 4, 8, 8),
        "encoder_hidden_states": noise(1, 5, 8),
        "pooled_projections": noise(1, 8),
        "timestep": TIMESTEP,
    }


def flux() -> tuple[nn.Module, Inputs]:
    network = diffusers.FluxTransformer2DModel(
        in_channels=4,
        num_layers=2,
        num_single_layers=11,
        attention_head_dim=8,
        num_attention_heads=2,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        guidance_embeds=True,
        axes_dims_rope=(2, 2, 4),
    )
    return network, {
        "hidden_states": noise(1, 6, 4),
        "encoder_hidden_states": noise(1, 5, 8),
        "pooled_projections": noise(1, 8),
        "timestep": TIMESTEP / 10,
        "guidance": torch.tensor([3.5]),
        "img_ids": torch.zeros(6, 3),
        "txt_ids": torch.zeros(5, 3),
    }


def pixart() -> tuple[nn.Module, Inputs]:
    network = diffusers.PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=6,
        in_channels=4,
        num_layers=3,
        cross_attention_dim=12,
        caption_channels=8,
        sample_size=8,
        use_additional_conditions=True,
    )
    added = {"resolution": torch.tensor([[8.0, 8.0]]), "aspect_ratio": torch.tensor([[1.0]])}
    return network, {
        "hidden_states": noise(1, 4, 8, 8),
        "encoder_hidden_states": noise(1, 5, 8),
        "timestep": TIMESTEP,
        "added_cond_kwargs": added,
    }


def dit() -> tuple[nn.Module, Inputs]:
    network = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=4,
        in_channels=4,
        num_layers=3,
        sample_size=8,
        num_embeds_ada_norm=10,
    )
    return network, {
        "hidden_states": noise(1, 4, 8, 8),
        "timestep": TIMESTEP,
        "class_labels": torch.tensor([1]),
    }


def clip_text() -> tuple[nn.Module, Inputs]:
    config = transformers.CLIPTextConfig(
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=11,
        num_attention_heads=2,
        vocab_size=50,
        projection_dim=8,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )
    return transformers.CLIPTextModelWithProjection(config), {"input_ids": torch.arange(6)[None]}


def t5_text() -> tuple[nn.Module, Inputs]:
    config = transformers.T5Config(
        d_model=8, d_kv=4, d_ff=16, num_layers=3, num_heads=2, vocab_size=50
    )
    return transformers.T5EncoderModel(config), {"input_ids": torch.arange(6)[None]}


NETWORKS: dict[str, Callable[[], tuple[nn.Module, Inputs]]] = {
    made.__name__: made
    for made in (
        unet2d,
        stable_diffusion_1,
        stable_diffusion_xl,
        autoencoder,
        stable_diffusion_3,
        flux,
        pixart,
        dit,
        clip_text,
        t5_text,
    )
}
