from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from diffusers.loaders import single_file_utils
from torch import nn

from deme.merge.places import LAYER_KINDS, TensorPlace, layer_kind, places_of
from merge.ldm_names import ldm_autoencoder_names, ldm_unet_names
from merge.tiny_networks import NETWORKS, autoencoder, stable_diffusion_1, unet2d

ATTENTION = re.compile(
    r"\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out|[qkv]_proj|out_proj|SelfAttention\.[qkvo])\."
)


def all_places(network: nn.Module, component: str = "unet") -> dict[str, TensorPlace]:
    return places_of(component, sorted(network.state_dict()))


def by_depth(places: Iterable[TensorPlace]) -> list[str]:
    """Blocks in the order of their depth."""
    ordered = sorted(places, key=lambda place: place.depth)
    return list(dict.fromkeys(place.block for place in ordered))


def first_runs(network: nn.Module, inputs: dict[str, Any]) -> dict[str, int]:
    """For each module with tensors of its own that runs, when it first runs."""
    order: dict[str, int] = {}
    names = {module: name for name, module in network.named_modules()}

    def note(module: nn.Module, _: object) -> None:
        order.setdefault(names[module], len(order))

    for module in names:
        if module is not network and next(module.parameters(recurse=False), None) is not None:
            module.register_forward_pre_hook(note)
    with torch.no_grad():
        network.eval()(**inputs)
    return order


@pytest.mark.parametrize("family", NETWORKS)
def test_depth_is_in_the_order_in_which_blocks_run(family: str) -> None:
    network, inputs = NETWORKS[family]()
    places = all_places(network)
    runs: dict[str, list[int]] = {}
    depths: dict[str, float] = {}
    for module, when in first_runs(network, inputs).items():
        tensors = [p for p in places.values() if p.name.rpartition(".")[0] == module]
        for place in tensors:
            runs.setdefault(place.block, []).append(when)
            depths[place.block] = place.depth
    assert set(depths.values()) >= {0.0, 1.0}
    for one, mine in depths.items():
        for other, theirs in depths.items():
            if mine < theirs:
                assert min(runs[one]) < min(runs[other]), f"{one} runs after {other}"


@pytest.mark.parametrize("family", NETWORKS)
def test_every_tensor_has_a_place_of_a_known_kind(family: str) -> None:
    network, _ = NETWORKS[family]()
    places = all_places(network, "here")
    assert list(places) == sorted(network.state_dict())
    for name, place in places.items():
        assert (place.component, place.name) == ("here", name)
        assert 0 <= place.depth <= 1
        assert place.kind != "other"
        assert (place.depth == 0) == (place.section == "input")
        assert (place.depth == 1) == (place.section == "output")
        assert f".{place.block}." in f".{name}."


@pytest.mark.parametrize("family", NETWORKS)
def test_kinds_agree_with_the_classes_of_the_modules(family: str) -> None:
    network, _ = NETWORKS[family]()
    for name, place in all_places(network).items():
        module = network.get_submodule(name.rpartition(".")[0])
        if ATTENTION.search(name):
            assert place.kind == "attention", name
        if isinstance(module, nn.LayerNorm | nn.GroupNorm) or "RMSNorm" in type(module).__name__:
            assert place.kind == "norm", name
        if isinstance(module, nn.Embedding) and "attention_bias" not in name:
            assert place.kind == "embedding", name
        if place.kind in ("resnet", "resample"):
            assert isinstance(module, nn.Conv2d), name


@pytest.mark.parametrize("family", ["unet2d", "stable_diffusion_1", "stable_diffusion_xl"])
def test_a_unet_goes_down_and_up(family: str) -> None:
    network, _ = NETWORKS[family]()
    levels = len(network.down_blocks)  # type: ignore[arg-type]
    found = [block for block in by_depth(all_places(network).values()) if "block" in block]
    down = [f"down_blocks.{level}" for level in range(levels)]
    assert found == [*down, "mid_block", *(name.replace("down", "up") for name in down)]
    for place in all_places(network).values():
        if "block" in place.block:
            assert place.block.startswith(place.section)


def test_blocks_are_ordered_by_number_and_single_streams_follow_double_ones() -> None:
    network, _ = NETWORKS["flux"]()
    found = [block for block in by_depth(all_places(network).values()) if "blocks" in block]
    double = [f"transformer_blocks.{number}" for number in range(2)]
    assert found == double + [f"single_transformer_blocks.{number}" for number in range(11)]
    network, _ = NETWORKS["clip_text"]()
    layers = [f"layers.{number}" for number in range(11)]
    places = all_places(network).values()
    assert by_depth(places) == ["embeddings", *layers, "final_layer_norm", "text_projection"]
    assert {place.section for place in places} == {"input", "body", "output"}


def test_an_autoencoder_is_one_way_from_image_to_image() -> None:
    network, _ = autoencoder()
    places = all_places(network, "vae").values()
    assert by_depth(places) == [
        "encoder.conv_in",
        "encoder.down_blocks.0",
        "encoder.down_blocks.1",
        "encoder.mid_block",
        *("encoder.conv_norm_out", "encoder.conv_out"),
        *("quant_conv", "post_quant_conv"),
        "decoder.conv_in",
        "decoder.mid_block",
        "decoder.up_blocks.0",
        "decoder.up_blocks.1",
        *("decoder.conv_norm_out", "decoder.conv_out"),
    ]
    sections = dict.fromkeys(place.section for place in sorted(places, key=lambda p: p.depth))
    assert list(sections) == ["input", "down", "mid", "up", "output"]


@pytest.mark.parametrize("wrapper", ["module.model", "conditioner.embedders.0.transformer"])
def test_what_wraps_a_network_is_not_part_of_a_blocks_name(wrapper: str) -> None:
    bare, _ = NETWORKS["clip_text"]()
    names = sorted(bare.state_dict())
    wrapped = places_of("t", [f"{wrapper}.{name}" for name in names])
    for name, place in places_of("t", names).items():
        other = wrapped[f"{wrapper}.{name}"]
        assert (other.block, other.depth, other.kind) == (place.block, place.depth, place.kind)


def converted_names(names: list[str], prefix: str, network: nn.Module, how: str) -> dict[str, str]:
    """From CompVis' names to diffusers', by diffusers' own conversion of tensors with a number."""
    checkpoint = {f"{prefix}{n}": torch.full((1, 1, 1, 1), i) for i, n in enumerate(names)}
    convert = getattr(single_file_utils, how)
    converted = convert(checkpoint, dict(network.config))  # type: ignore[arg-type]
    assert set(converted) == set(network.state_dict())
    return {names[int(number.flatten()[0])]: name for name, number in converted.items()}


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_a_unet_under_compvis_names_is_the_same_network(prefix: str) -> None:
    network, _ = stable_diffusion_1()
    names = ldm_unet_names()
    how = "convert_ldm_unet_checkpoint"
    mapping = converted_names(names, "model.diffusion_model.", network, how)
    theirs = all_places(network)
    ours = places_of("unet", [f"{prefix}{name}" for name in names])
    pairs = [(ours[f"{prefix}{old}"], theirs[new]) for old, new in mapping.items()]
    for mine, other in pairs:
        assert (mine.section, mine.kind) == (other.section, other.kind), mine.name
    deepest = 0.0
    for mine, other in sorted(pairs, key=lambda pair: pair[0].depth):
        assert other.depth >= deepest, mine.name
        deepest = other.depth
    assert by_depth(ours.values())[-14:] == [
        "middle_block",
        *(f"output_blocks.{number}" for number in range(12)),
        "out",
    ]


def test_an_autoencoder_under_compvis_names_is_the_same_network() -> None:
    network, _ = autoencoder()
    names = ldm_autoencoder_names()
    how = "convert_ldm_vae_checkpoint"
    mapping = converted_names(names, "first_stage_model.", network, how)
    theirs, ours = all_places(network), places_of("vae", names)
    for old, new in mapping.items():
        mine, other = ours[old], theirs[new]
        assert (mine.section, mine.kind) == (other.section, other.kind), old
        assert mine.depth == pytest.approx(other.depth), old


def test_a_whole_checkpoint_is_several_networks() -> None:
    network, _ = NETWORKS["clip_text"]()
    parts = {
        "model.diffusion_model.": ldm_unet_names(),
        "first_stage_model.": ldm_autoencoder_names(),
        "cond_stage_model.transformer.": sorted(network.state_dict()),
    }
    whole = places_of("file", [p + name for p, names in parts.items() for name in names])
    for prefix, names in parts.items():
        for name, alone in places_of("file", names).items():
            inside = whole[prefix + name]
            assert (inside.depth, inside.section) == (alone.depth, alone.section)
            assert inside.block.endswith(alone.block)


def test_a_channel_projection_belongs_to_the_block_that_it_follows() -> None:
    network, _ = unet2d()
    names = sorted(network.state_dict())
    added = ["channel_projections.down_blocks_1.offset", "channel_projections.mid_block.offset"]
    places = places_of("unet", names + added)
    assert [places[name].block for name in added] == ["down_blocks.1", "mid_block"]
    assert {places[name].kind for name in added} == {"projection"}
    assert {name: places[name] for name in names} == places_of("unet", names)
    alone = places_of("channel_projections", [name.partition(".")[2] for name in added])
    assert [place.block for place in alone.values()] == ["down_blocks.1", "mid_block"]


def test_tensors_without_blocks_have_places_too() -> None:
    places = places_of("mapper", ["weight", "fc.weight", "fc.bias", "0.weight"])
    assert [place.block for place in places.values()] == ["weight", "fc", "fc", "0"]
    assert {place.section for place in places.values()} == {"body"}
    assert places_of("empty", []) == {}


def test_names_that_no_network_has_get_places_all_the_same() -> None:
    names = ["a", "a.b", "down_blocks", "down_blocks.0.c.weight", ".", " ", "x." * 400 + "y"]
    names += ["layers.٣.fc.weight", "layers.3.fc.weight", "layers.03.fc.weight", "encoder", "up.1"]
    places = places_of("odd", names)
    assert list(places) == names
    assert all(0 <= place.depth <= 1 for place in places.values())


def test_older_and_other_names_for_attention() -> None:
    for name in (
        "down_blocks.1.attentions.0.query.weight",
        "mid_block.attentions.0.proj_attn.bias",
        "double_blocks.3.img_attn.qkv.weight",
        "resblocks.2.attn.in_proj_weight",
        "blocks.0.attn1.to_q.weight",
    ):
        assert layer_kind(name.split("."), numbered=name[:3] != "mid") == "attention", name
    assert layer_kind(["x"]) == "other" and "other" in LAYER_KINDS
