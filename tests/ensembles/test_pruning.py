"""Structured pruning to a stock network: what stays, what it computes, and how it is saved."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import diffusers
import pytest
import torch
from torch import Tensor

from deme.data import ImageSource
from deme.decouple import TimestepRange
from deme.denoisers import Denoiser, RoutedDenoiser, load_denoiser
from deme.ensembles.pruning import prune
from deme.ensembles.pruning_channels import best_channels
from deme.ensembles.pruning_time import time_table
from deme.ensembles.pruning_widths import width_choices, widths_keeping
from deme.errors import ConfigError, MissingExtraError, ModelError
from deme.runs.flops import forward_flops

Write = Callable[..., Path]
INTERVAL = TimestepRange(0, 250)
WIDER: dict[str, Any] = {
    "block_out_channels": (16, 32),
    "attention_head_dim": 4,
    "norm_num_groups": 8,
}


@pytest.fixture
def source(tiny_source: Callable[..., ImageSource]) -> ImageSource:
    return tiny_source()


def pruned(denoiser: Denoiser, widths: tuple[int, ...], source: ImageSource) -> Denoiser:
    return prune(denoiser, widths, source, INTERVAL, images=16, batch_size=8)


def outputs(denoiser: Denoiser) -> Tensor:
    draws = torch.Generator().manual_seed(0)
    x_t = torch.randn((3, *denoiser.sample_shape), generator=draws)
    labels = None if denoiser.num_classes is None else torch.tensor([0, 1, 2])
    conditioning = denoiser.condition(labels=labels)
    with torch.no_grad():
        return denoiser.predict(x_t, torch.tensor([3, 120, 900]), conditioning)


# A wide network made of a narrow one: all channels of a layer twice, first a copy that nobody uses
# and then those that are used. Norms have twice as many groups, and so norm each as before.


def twice(tensor: Tensor, axis: int, *, takes: bool, parts: int = 1) -> Tensor:
    """Both copies of each part along an axis; what takes them in ignores the first."""
    pieces = []
    for part in tensor.chunk(parts, dim=axis):
        pieces += [torch.zeros_like(part) if takes else part, part]
    return torch.cat(pieces, dim=axis)


def widened(narrow: dict[str, Tensor], wide: dict[str, Tensor]) -> dict[str, Tensor]:
    """The wide network's weights, its time embedding aside."""
    made = {}
    for name, target in wide.items():
        if name.startswith(("time_proj", "time_embedding")):
            continue
        value, rows = narrow[name], 1
        if ".time_emb_proj" in name:  # a scale and a shift, or a shift alone
            rows = len(value) // 4
        if value.shape[0] != target.shape[0]:
            value = twice(value, 0, takes=".to_q" in name, parts=rows)
        if value.dim() > 1 and value.shape[1] != target.shape[1]:
            value = twice(value, 1, takes=True, parts=value.shape[1] // 4)
        made[name] = value
    return made


@pytest.mark.parametrize(
    "config",
    [
        {"attention_head_dim": 2},
        {"attention_head_dim": None},
        {"attention_head_dim": 4, "resnet_time_scale_shift": "scale_shift"},
    ],
)
def test_unused_channels_go_and_the_output_stays(
    tiny_pipeline: Write, source: ImageSource, config: dict[str, Any]
) -> None:
    shared = {**config, "time_embedding_dim": 12}
    learned = {"time_embedding_type": "learned", "num_train_timesteps": 1000}
    small = {**shared, **learned, "block_out_channels": (4, 4), "norm_num_groups": 2}
    narrow = load_denoiser(tiny_pipeline("narrow", **small))
    large = {**shared, "block_out_channels": (8, 8), "norm_num_groups": 4}
    wide = load_denoiser(tiny_pipeline("wide", seed=1, **large))
    weights = widened(narrow.weights(), wide.weights())
    if config["attention_head_dim"] is None:  # the one head divides by √8 and not by √4
        weights = {n: w * (2**0.5 if ".to_q" in n else 1) for n, w in weights.items()}
    # a map of rank 4 from the 8 sinusoids of t: what a table of 4 numbers can hold
    own = narrow.weights()
    reading = torch.randn(4, 8, generator=torch.Generator().manual_seed(2))
    sinusoids = cast(Any, wide.network).time_proj(torch.arange(1000))
    weights["time_embedding.linear_1.weight"] = own["time_embedding.linear_1.weight"] @ reading
    own["time_proj.weight"].copy_(sinusoids @ reading.T)
    for name in ("linear_1.bias", "linear_2.weight", "linear_2.bias"):
        weights[f"time_embedding.{name}"] = own[f"time_embedding.{name}"]
    wide.load_weights(weights)
    torch.testing.assert_close(outputs(wide), outputs(narrow), atol=2e-5, rtol=1e-4)
    found = pruned(wide, (4, 4), source)
    assert found.num_parameters() == narrow.num_parameters()
    torch.testing.assert_close(outputs(found), outputs(narrow), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("kept", [0.8, 0.6, 0.4])
def test_the_kept_fraction_is_reached(
    tiny_pipeline: Write, source: ImageSource, kept: float
) -> None:
    denoiser = load_denoiser(tiny_pipeline(**WIDER))
    ((widths, fraction),) = widths_keeping(denoiser, [kept], forward_flops).items()
    found = pruned(denoiser, widths, source)
    assert forward_flops(found) / forward_flops(denoiser) == fraction
    assert fraction == pytest.approx(kept, abs=0.1)
    assert found.num_parameters() < denoiser.num_parameters()
    assert bool(torch.isfinite(outputs(found)).all())


def test_a_whole_network_is_a_clone(tiny_pipeline: Write, source: ImageSource) -> None:
    denoiser = load_denoiser(tiny_pipeline())
    ((widths, fraction),) = widths_keeping(denoiser, [1.0], forward_flops).items()
    found = pruned(denoiser, widths, source)
    assert fraction == 1
    assert found.network is not denoiser.network
    own = denoiser.weights()
    assert all(torch.equal(own[name], value) for name, value in found.weights().items())


@pytest.mark.parametrize(
    ("config", "widths"),
    [
        ({}, (4, 8)),
        ({"num_class_embeds": 3, "attn_norm_num_groups": 2}, (4, 8)),
        ({"resnet_time_scale_shift": "scale_shift"}, (4, 8)),
        ({"block_out_channels": (8, 8), "attention_head_dim": 4}, (4, 4)),
    ],
)
def test_it_is_a_plain_pipeline(
    tiny_pipeline: Write,
    tiny_source: Callable[..., ImageSource],
    tmp_path: Path,
    config: dict[str, Any],
    widths: tuple[int, ...],
) -> None:
    denoiser = load_denoiser(tiny_pipeline(**config))
    found = pruned(denoiser, widths, tiny_source(classes=config.get("num_class_embeds")))
    found.save(tmp_path / "pruned")
    loaded = load_denoiser(tmp_path / "pruned")
    assert torch.equal(outputs(loaded), outputs(found))
    pipeline = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "pruned")
    assert tuple(pipeline.unet.config.block_out_channels) == widths
    again = tmp_path / "again"
    loaded.clone().save(again)
    read = [json.loads((f / "unet/config.json").read_text()) for f in (tmp_path / "pruned", again)]
    assert read[0] == read[1]


def test_the_original_stays_as_it_was(tiny_pipeline: Write, source: ImageSource) -> None:
    denoiser = load_denoiser(tiny_pipeline(block_out_channels=(8, 8), attention_head_dim=4))
    before = {name: value.clone() for name, value in denoiser.weights().items()}
    pruned(denoiser, (4, 4), source)
    after = denoiser.weights()
    assert after.keys() == before.keys()
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert not any(p.requires_grad or p.grad is not None for p in denoiser.network.parameters())


def test_a_table_of_time_loses_no_more_than_the_best_low_rank_map(tiny_pipeline: Write) -> None:
    network = cast(Any, load_denoiser(tiny_pipeline(**WIDER)).network)
    with torch.no_grad():
        exact = network.time_embedding.linear_1(network.time_proj(torch.arange(1000)))[:250]
        for width in (2, 4, 8):
            found = time_table(network, width, INTERVAL, 1000)
            table, matrix, bias = found.values()
            left = (table @ matrix.T + bias)[:250] - exact
            values = torch.linalg.svdvals((exact - exact.mean(0)).double())
            best = float(values[width:].square().sum())
            assert float(left.double().square().sum()) == pytest.approx(best, rel=1e-3, abs=1e-5)
            assert table[:250].square().mean(0) == pytest.approx(torch.ones(width), abs=1e-3)


def test_whole_groups_and_whole_heads_go() -> None:
    config = {
        "block_out_channels": (128, 256, 256),
        "norm_num_groups": 32,
        "attn_norm_num_groups": None,
        "attention_head_dim": None,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        "mid_block_type": "UNetMidBlock2D",
        "add_attention": False,
    }
    free = width_choices(config)
    assert free == [(4 * k, 8 * k, 8 * k) for k in range(32, 0, -1)]
    headed = width_choices({**config, "attention_head_dim": 64})
    assert headed == [widths for widths in free if widths[1] % 64 == 0]
    outer = {
        **config,
        "down_block_types": ("DownBlock2D",) * 3,
        "up_block_types": ("UpBlock2D",) * 3,
    }
    assert width_choices({**outer, "attention_head_dim": 64}) == free
    middle = {**outer, "attention_head_dim": 64, "add_attention": True}
    assert width_choices(middle) == headed
    halves = {**middle, "attention_head_dim": None, "attn_norm_num_groups": 16}
    assert width_choices(halves) == free[::2]


def test_what_stays() -> None:
    scores = torch.tensor([5.0, 1, 4, 3, 2, 2, 9, 8])
    assert best_channels(scores, 4, parts=4).tolist() == [2, 3, 6, 7]
    assert best_channels(scores, 4, parts=2).tolist() == [4, 5, 6, 7]
    assert best_channels(scores, 3, parts=8).tolist() == [0, 6, 7]


def test_the_bundled_digits_have_three_sizes() -> None:
    found = widths_keeping(load_denoiser("digits"), [1.0, 0.5, 0.1], forward_flops)
    assert list(found) == [(6, 6), (4, 4), (2, 2)]


def test_a_network_that_leaves_no_choice(tiny_pipeline: Write) -> None:
    denoiser = load_denoiser(tiny_pipeline(norm_num_groups=1))
    with pytest.raises(ModelError, match=r"norm_num_groups 1\).*no smaller widths than \[8, 16\]"):
        widths_keeping(denoiser, [0.5], forward_flops)


def test_what_cannot_be_pruned(
    tiny_pipeline: Write, source: ImageSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = load_denoiser(tiny_pipeline())
    with pytest.raises(ConfigError, match=r"1\.5 cannot be kept"):
        widths_keeping(denoiser, [1.5], forward_flops)
    with pytest.raises(ModelError, match="its network is no UNet2DModel"):
        pruned(RoutedDenoiser([denoiser], (0, 1000)), (4, 8), source)
    for widths in [(8, 8), (6, 12), (12, 16), (4, 8, 8), (0, 0)]:
        with pytest.raises(ConfigError, match=r"cannot be pruned to.*Choices: \[8, 16\], \[4, 8\]"):
            pruned(denoiser, widths, source)
    resampled = load_denoiser(tiny_pipeline("resnets", downsample_type="resnet"))
    assert bool(torch.isfinite(outputs(pruned(resampled, (4, 8), source))).all())
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'deme\[baselines\]'"):
        pruned(denoiser, (4, 8), source)
