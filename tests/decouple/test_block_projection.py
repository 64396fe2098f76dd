"""The paper's placement: after whole blocks, on the hidden state and not on the skip tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from diffusers import UNet2DModel
from safetensors.torch import load_file, save_file
from torch import Tensor

from deme.decouple import attach_projections, fold_projections, restore_projections
from deme.decouple.projection import ChannelProjection
from deme.denoisers import Denoiser, load_denoiser
from deme.denoisers.architectures import write_architecture
from deme.errors import MismatchError, StorageError

Write = Callable[..., Path]
FILE = "channel_projections.safetensors"
LAYOUTS: dict[str, dict[str, Any]] = {
    "two levels": {},
    "three uneven levels": {
        "block_out_channels": (8, 12, 16),
        "layers_per_block": 2,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    },
    "no middle block": {"mid_block_type": None},
}


@pytest.fixture(params=list(LAYOUTS))
def denoiser(request: pytest.FixtureRequest, tiny_pipeline: Write) -> Denoiser:
    return load_denoiser(tiny_pipeline(**LAYOUTS[request.param]))


def inputs() -> tuple[Tensor, Tensor]:
    x_t = torch.randn((2, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    return x_t, torch.tensor([17, 600])


def projections(denoiser: Denoiser) -> list[ChannelProjection]:
    return [m for m in denoiser.network.modules() if isinstance(m, ChannelProjection)]


def disturb(denoiser: Denoiser) -> list[Tensor]:
    draws = torch.Generator().manual_seed(3)
    for projection in projections(denoiser):
        size = len(projection.offset)
        with torch.no_grad():
            projection.offset.copy_(torch.randn((size, size), generator=draws) * 0.1)
    return [projection.matrix.detach() for projection in projections(denoiser)]


def by_hand(network: UNet2DModel, x_t: Tensor, t: Tensor, matrices: list[Tensor]) -> Tensor:
    """The U-Net's forward, written out, with ``W`` on the running state of every block."""
    remaining = iter(matrices)

    def project(hidden: Tensor) -> Tensor:
        return torch.matmul(hidden.movedim(1, -1), next(remaining).mT).movedim(-1, 1)

    temb = network.time_embedding(network.time_proj(t))
    hidden = network.conv_in(x_t)
    skips = (hidden,)
    for block in network.down_blocks:
        hidden, outputs = block(hidden, temb)
        skips += outputs
        hidden = project(hidden)
    if network.mid_block is not None:
        hidden = project(network.mid_block(hidden, temb))
    for block in network.up_blocks:
        count = len(cast(Any, block).resnets)
        skips, mine = skips[:-count], skips[-count:]
        hidden = project(block(hidden, mine, temb))
    return network.conv_out(network.conv_act(network.conv_norm_out(hidden)))


def test_attaching_changes_nothing(denoiser: Denoiser) -> None:
    x_t, t = inputs()
    expected = denoiser.predict(x_t, t, {})
    attach_projections(denoiser, "block")
    assert torch.equal(denoiser.predict(x_t, t, {}), expected)
    fold_projections(denoiser.network)  # there is nothing to fold: they stay
    assert projections(denoiser)


def test_it_is_the_forward_written_by_hand(denoiser: Denoiser) -> None:
    stock = cast(UNet2DModel, denoiser.clone().network)
    attach_projections(denoiser, "block")
    x_t, t = inputs()
    matrices = disturb(denoiser)
    with torch.no_grad():
        expected = by_hand(stock, x_t, t, matrices)
        plain = stock(x_t, t).sample
        found = denoiser.predict(x_t, t, {})
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(found, plain, atol=1e-3)


def test_thirteen_for_the_church_network_as_published(tmp_path: Path) -> None:
    config: Any = UNet2DModel.load_config(
        str(write_architecture("google/ddpm-ema-church-256", tmp_path) / "unet")
    )
    small = {**config, "block_out_channels": [8, 8, 16, 16, 32, 32], "norm_num_groups": 4}
    small["sample_size"] = 32
    write = tmp_path / "small"
    from diffusers import DDPMPipeline, DDPMScheduler

    network = cast(UNet2DModel, UNet2DModel.from_config(small))
    DDPMPipeline(unet=network, scheduler=DDPMScheduler()).save_pretrained(write)
    denoiser = load_denoiser(write)
    attach_projections(denoiser, "block")
    assert len(projections(denoiser)) == 13
    published = config["block_out_channels"]
    more = sum(width**2 for width in (*published, published[-1], *reversed(published)))
    assert 113_673_219 + more == pytest.approx(115.31e6, abs=0.005e6)  # METHOD's table


def test_save_and_restore(denoiser: Denoiser, tmp_path: Path) -> None:
    attach_projections(denoiser, "block")
    disturb(denoiser)
    denoiser.save(tmp_path / "saved")
    again = load_denoiser(tmp_path / "saved")
    assert not projections(again)
    restore_projections(again, tmp_path / "saved")
    x_t, t = inputs()
    assert torch.equal(again.predict(x_t, t, {}), denoiser.predict(x_t, t, {}))
    assert again.weights().keys() == denoiser.weights().keys()
    assert not any(p.requires_grad for p in again.network.parameters())


def test_nothing_to_restore(pretrained: Denoiser, tmp_path: Path) -> None:
    restore_projections(pretrained, tmp_path)
    assert not projections(pretrained)


def test_projections_that_are_truncated_or_of_another_model(
    pretrained: Denoiser, tmp_path: Path
) -> None:
    attached = pretrained.clone()
    attach_projections(attached, "block")
    attached.save(tmp_path)
    saved = load_file(tmp_path / FILE)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:100])
    with pytest.raises(StorageError, match=r"cannot be read.*Fix: copy the file again"):
        restore_projections(pretrained, tmp_path)
    name = next(iter(saved))
    for wrong in ({name: torch.zeros(3, 3)}, {f"{name}x": torch.zeros(3, 3)}):
        save_file({**saved, **wrong}, tmp_path / FILE)
        with pytest.raises(MismatchError, match="channel_projections"):
            restore_projections(pretrained, tmp_path)
    save_file({key: saved[key] for key in saved if key != name}, tmp_path / FILE)
    with pytest.raises(MismatchError, match="missing channel_projections"):
        restore_projections(pretrained, tmp_path)
    assert not projections(pretrained)


def test_a_clone_has_projections_of_its_own(pretrained: Denoiser) -> None:
    attach_projections(pretrained, "block")
    x_t, t = inputs()
    before = pretrained.predict(x_t, t, {})
    twin = pretrained.clone()
    disturb(twin)
    assert not torch.equal(twin.predict(x_t, t, {}), before)
    assert torch.equal(pretrained.predict(x_t, t, {}), before)
