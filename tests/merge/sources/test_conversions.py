from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from deme.merge.sources.contract import DeltaSource
from deme.merge.sources.converting import RestoredDeltas, way_back
from deme.merge.sources.ldm_names import original_names
from deme.merge.sources.opening import open_model
from deme.merge.sources.views import View
from merge.sources.conftest import Saved
from merge.sources.original_names import unet_name
from merge.sources.tiny_models import state_of, vae

MakeSaved = Callable[..., Saved]


def deep(network: type[nn.Module], **config: Any) -> nn.Module:
    with torch.device("meta"):
        return cast(Any, network)(norm_num_groups=1, **config)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("attended", [(0, 1, 2), (1, 2), (0,), ()])
def test_the_original_names_of_any_depth_are_known(layers: int, attended: tuple[int, ...]) -> None:
    levels = 4
    network = deep(
        UNet2DConditionModel,
        layers_per_block=layers,
        block_out_channels=(4, 8, 8, 16),
        attention_head_dim=2,
        cross_attention_dim=6,
        down_block_types=tuple(
            "CrossAttnDownBlock2D" if i in attended else "DownBlock2D" for i in range(levels)
        ),
        up_block_types=tuple(
            "CrossAttnUpBlock2D" if levels - 1 - i in attended else "UpBlock2D"
            for i in range(levels)
        ),
    )
    names = list(network.state_dict())
    ups = {levels - 1 - i for i in attended}
    assert original_names(names) == {unet_name(name, layers, ups): name for name in names}


def test_networks_that_the_original_code_never_had_have_no_original_names() -> None:
    assert original_names(["transformer_blocks.0.attn.to_q.weight"]) == {}
    assert original_names(list(state_of(vae()))) == {}


def test_differences_find_their_way_back_into_fused_tensors(saved: MakeSaved) -> None:
    """Queries, keys and values are one tensor in OpenCLIP, and its projection is transposed."""
    base = open_model(saved("xl").file)
    view = View(base, "text_encoder_2")
    names = [n for n in view.diffusers.layout if "q_proj" in n or n == "text_projection.weight"]

    class Ones(DeltaSource):
        origin = "ones"
        layout = {name: view.diffusers.layout[name] for name in names}  # noqa: RUF012

        def read_delta(self, name: str, base: torch.Tensor) -> torch.Tensor:
            assert torch.equal(base, view.diffusers.read(name))
            return torch.arange(float(base.numel())).view(base.shape)

    restored = view.delta(Ones())
    assert isinstance(restored, RestoredDeltas)
    start = "conditioner.embedders.1.model."
    fused = f"{start}transformer.resblocks.0.attn.in_proj_weight"
    delta = restored.read_delta(fused, view.own.read(fused))
    width = delta.shape[1]
    assert torch.equal(delta[:width].flatten(), torch.arange(float(width * width)))
    assert not delta[width:].any()
    projection = restored.read_delta(
        f"{start}text_projection", view.own.read(f"{start}text_projection")
    )
    assert torch.equal(projection.T.flatten(), torch.arange(float(projection.numel())))
    assert len(restored.layout) == 5  # weights and biases of two layers, and the projection


def test_a_tensor_that_is_covered_in_part_has_no_way_back(saved: MakeSaved) -> None:
    base = open_model(saved("xl").file)
    view = View(base, "text_encoder_2")
    plan = {n: p for n, p in view._converted.plan.items() if "q_proj" not in n}
    assert not any("in_proj" in name for name in way_back(plan, view.own.layout))
