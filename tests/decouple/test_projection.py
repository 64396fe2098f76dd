"""Foldable projections against activations that are projected by hooks on the stock network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

from deme.decouple import ChannelProjection, attach_projections, fold_projections
from deme.denoisers import Denoiser, ModelConfig, load_denoiser
from deme.errors import ConfigError

Write = Callable[..., Path]

LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2},
    "attention": {
        "down_block_types": ("AttnDownBlock2D",) * 2,
        "up_block_types": ("AttnUpBlock2D",) * 2,
    },
    "attention of one head": {"attention_head_dim": None},
    "two layers": {"layers_per_block": 2},
    "three layers": {"layers_per_block": 3},
    "classes": {"num_class_embeds": 4},
    "uneven widths": {"block_out_channels": (12, 20)},
    "narrowing widths": {"block_out_channels": (16, 8)},
    "three levels": {
        "block_out_channels": (8, 12, 16),
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    },
    "resampling by resnets": {
        "downsample_type": "resnet",
        "upsample_type": "resnet",
        "down_block_types": ("AttnDownBlock2D",) * 2,
        "up_block_types": ("AttnUpBlock2D",) * 2,
    },
    "resnet resampling blocks": {
        "down_block_types": ("ResnetDownsampleBlock2D",) * 2,
        "up_block_types": ("ResnetUpsampleBlock2D",) * 2,
    },
    "skip blocks": {
        "in_channels": 3,  # what these blocks take
        "out_channels": 3,
        "block_out_channels": (32, 32),  # their norms have 32 groups, whatever is configured
        "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
        "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
    },
    "scale and shift": {"resnet_time_scale_shift": "scale_shift"},
    "no middle block": {"mid_block_type": None},
    "no attention in the middle": {"add_attention": False},
    "scaled middle": {"mid_block_scale_factor": 1.4},
    "colour": {"in_channels": 3, "out_channels": 3, "downsample_padding": 0},
    "one level": {
        "block_out_channels": (8,),
        "down_block_types": ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",),
    },
}


@pytest.fixture(params=list(LAYOUTS))
def denoiser(request: pytest.FixtureRequest, tiny_pipeline: Write) -> Denoiser:
    return load_denoiser(tiny_pipeline(**LAYOUTS[request.param]))


def inputs(denoiser: Denoiser, count: int = 2) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    x_t = torch.randn((count, *denoiser.sample_shape), generator=torch.Generator().manual_seed(0))
    conditioning = {}
    if denoiser.num_classes is not None:
        conditioning = {"class_labels": torch.arange(count) % denoiser.num_classes}
    return x_t, torch.arange(count) * 300 + 17, conditioning


def disturb(denoiser: Denoiser) -> dict[str, Tensor]:
    """Moves each projection from the identity; gives ``W`` by its layer's name."""
    draws = torch.Generator().manual_seed(3)
    matrices = {}
    for name, module in denoiser.network.named_modules():
        if isinstance(module, ChannelProjection):
            size = len(module.offset)
            noise = torch.randn((size, size), generator=draws) * 0.2 / size**0.5
            with torch.no_grad():
                module.offset.copy_(noise)
            matrices[name.removesuffix(".parametrizations.weight.0")] = torch.eye(size) + noise
    return matrices


def project_outputs(network: nn.Module, matrices: dict[str, Tensor]) -> None:
    """The definition ``P(F) = W·F``, on the activations of a stock network."""
    for name, matrix in matrices.items():
        layer = network.get_submodule(name)
        axis = 1 if isinstance(layer, nn.Conv2d) else -1

        def hook(
            module: nn.Module, args: Any, output: Tensor, axis: int = axis, w: Tensor = matrix
        ) -> Tensor:
            return torch.matmul(output.movedim(axis, -1), w.mT).movedim(-1, axis)

        layer.register_forward_hook(hook)


def close(first: Tensor, second: Tensor) -> bool:
    scale = max(1.0, float(second.detach().abs().max()))
    return float((first - second).detach().abs().max()) <= 1e-5 * scale


def layout(network: nn.Module) -> dict[str, Any]:
    return {
        "keys": {name: (v.shape, v.dtype) for name, v in network.state_dict().items()},
        "classes": [(name, type(module)) for name, module in network.named_modules()],
        "parameters": {name: p.shape for name, p in network.named_parameters()},
        "hooks": [len(module._forward_hooks) for module in network.modules()],
        "config": dict(network.config),  # type: ignore[arg-type]
    }


def test_attaching_and_folding_change_nothing(denoiser: Denoiser) -> None:
    stock = denoiser.clone()
    x_t, t, conditioning = inputs(denoiser)
    expected = denoiser.predict(x_t, t, conditioning)
    attach_projections(denoiser, "foldable")
    assert torch.equal(denoiser.predict(x_t, t, conditioning), expected)
    fold_projections(denoiser.network)
    assert layout(denoiser.network) == layout(stock.network)
    ours, theirs = denoiser.weights(), stock.weights()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_folded_equals_unfolded_equals_projected_activations(denoiser: Denoiser) -> None:
    stock = denoiser.clone()
    x_t, t, conditioning = inputs(denoiser)
    before = denoiser.predict(x_t, t, conditioning)
    attach_projections(denoiser, "foldable")
    matrices = disturb(denoiser)
    unfolded = denoiser.predict(x_t, t, conditioning)
    fold_projections(denoiser.network)
    folded = denoiser.predict(x_t, t, conditioning)
    assert layout(denoiser.network) == layout(stock.network)
    assert denoiser.num_parameters() == stock.num_parameters()
    project_outputs(stock.network, matrices)
    reference = stock.predict(x_t, t, conditioning)
    assert close(folded, unfolded)
    assert close(unfolded, reference)
    assert not close(reference, before)


def test_every_branch_has_a_projection(denoiser: Denoiser) -> None:
    """Each resnet, attention and resampling convolution ends in one."""
    counts = Counter(type(module) for module in denoiser.network.modules())
    resampling = [
        module
        for module in denoiser.network.modules()
        if isinstance(module, Downsample2D | Upsample2D) and module.use_conv
    ]
    expected = counts[ResnetBlock2D] + counts[Attention] + len(resampling)
    sites = denoiser.projection_sites("foldable")
    assert len({site.module_name for site in sites}) == len(sites) == expected
    for site in sites:
        weight: Any = denoiser.network.get_submodule(site.module_name).weight
        assert len(weight) == site.channels


def test_the_cifar_architecture(tmp_path: Path) -> None:
    config = ModelConfig(path="google/ddpm-cifar10-32", random_weights=True)
    denoiser = load_denoiser(config, cache_folder=tmp_path)
    stock = denoiser.clone()
    x_t, t, conditioning = inputs(denoiser, 1)
    attach_projections(denoiser, "foldable")
    matrices = disturb(denoiser)
    unfolded = denoiser.predict(x_t, t, conditioning)
    fold_projections(denoiser.network)
    assert denoiser.num_parameters() == stock.num_parameters() == 35_746_307
    project_outputs(stock.network, matrices)
    assert close(denoiser.predict(x_t, t, conditioning), unfolded)
    assert close(unfolded, stock.predict(x_t, t, conditioning))


def test_a_folded_model_loads_in_plain_diffusers(pretrained: Denoiser, tmp_path: Path) -> None:
    attach_projections(pretrained, "foldable")
    disturb(pretrained)
    fold_projections(pretrained.network)
    pretrained.save(tmp_path / "folded")
    stock: Any = UNet2DModel.from_pretrained(tmp_path / "folded" / "unet")
    x_t, t, _ = inputs(pretrained)
    assert close(stock(x_t, t).sample.detach(), pretrained.predict(x_t, t, {}))


def test_gradients_are_those_of_projected_activations(pretrained: Denoiser) -> None:
    stock = pretrained.clone()
    attach_projections(pretrained, "foldable")
    matrices = {name: w.requires_grad_() for name, w in disturb(pretrained).items()}
    project_outputs(stock.network, matrices)
    x_t, t, _ = inputs(pretrained)
    pretrained.predict(x_t, t, {}).square().sum().backward()
    stock.predict(x_t, t, {}).square().sum().backward()
    for name, matrix in matrices.items():
        projection: Any = pretrained.network.get_submodule(f"{name}.parametrizations.weight.0")
        assert matrix.grad is not None
        assert torch.allclose(projection.offset.grad, matrix.grad, rtol=1e-3, atol=1e-4)


def test_a_clone_has_projections_of_its_own(pretrained: Denoiser) -> None:
    attach_projections(pretrained, "foldable")
    x_t, t, _ = inputs(pretrained)
    before = pretrained.predict(x_t, t, {})
    twin = pretrained.clone()
    disturb(twin)
    assert not torch.equal(twin.predict(x_t, t, {}), before)
    assert torch.equal(pretrained.predict(x_t, t, {}), before)


def test_small_changes_survive_half_precision() -> None:
    """The diagonal 1 + 0.001 rounds to 1 in bf16; the projection's change must not."""
    projection = ChannelProjection(4)
    with torch.no_grad():
        projection.offset.fill_diagonal_(0.001)
    features = torch.ones(1, 4, 2, 2)
    exact = projection.on_features(features) - features
    with torch.autocast("cpu", torch.bfloat16):
        half = projection.on_features(features) - features
    assert torch.allclose(exact, torch.full_like(exact, 0.001), rtol=1e-3)
    assert torch.allclose(half, exact, rtol=1e-2)
    assert torch.equal(projection.matrix, torch.eye(4) * 1.001)


@pytest.mark.parametrize("placement", ["foldable", "block"])
def test_attaching_twice_is_an_error(pretrained: Denoiser, placement: Any) -> None:
    attach_projections(pretrained, placement)
    attach_projections(pretrained, "none")
    for again in ("foldable", "block"):
        with pytest.raises(ConfigError, match="has channel-wise projections already"):
            attach_projections(pretrained, again)  # type: ignore[arg-type]
