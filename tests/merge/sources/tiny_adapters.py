"""Adapters of random weights for the tiny pipelines, as PEFT, diffusers and kohya write them."""

from __future__ import annotations

import contextlib
import copy
import io
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import save_file
from torch import nn

from deme.merge.sources.contract import DeltaSource, ModelSource, WeightSource
from merge.sources.original_names import unet_name
from merge.sources.tiny_models import State, pipeline, state_of

UNET_LAYERS = (
    *("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "proj_in", "time_emb_proj"),
    *("conv1", "conv2", "conv_shortcut", "conv_in", "conv_out", "time_embedding.linear_1"),
    *("downsamplers.0.conv", "upsamplers.0.conv"),
)
"""Linear layers, and convolutions of 1×1 and 3×3."""
ATTENTION_LAYERS = ("to_q", "to_k", "to_v", "to_out.0")
TEXT_LAYERS = ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")
KOHYA = {"unet": "lora_unet_", "text_encoder_2": "lora_te2_"}
ALPHA = 8.0


def components_of(family: str) -> list[str]:
    return ["unet", "text_encoder", *(["text_encoder_2"] if family == "xl" else [])]


def train(module: nn.Module, seed: int) -> None:
    """Gives whatever can be trained random values; magnitudes stay near one."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                values = 0.1 * torch.randn(parameter.shape, generator=draws)
                parameter.copy_(values + ("magnitude" in name))


def peft_adapter(network: nn.Module, config: Any, folder: Path, seed: int = 5) -> State:
    """Writes an adapter as PEFT does, and returns the weights that PEFT merges it to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's remarks on shapes of biases
        model: Any = get_peft_model(copy.deepcopy(network), config)
        train(model, seed)
        model.save_pretrained(folder)
        return state_of(model.merge_and_unload())


def lora_states(
    family: str, unet_layers: tuple[str, ...] = UNET_LAYERS
) -> tuple[Any, dict[str, State]]:
    """A pipeline with a LoRA on U-Net and text encoders, and its factors in PEFT's names."""
    pipe = pipeline(family)
    states: dict[str, State] = {}
    for number, name in enumerate(components_of(family)):
        layers = unet_layers if name == "unet" else TEXT_LAYERS
        network = getattr(pipe, name)
        config = LoraConfig(r=4, lora_alpha=int(ALPHA), target_modules=list(layers))
        network.add_adapter(config)
        draws = torch.Generator().manual_seed(number)
        states[name] = {
            key: 0.1 * torch.randn(tensor.shape, generator=draws)
            for key, tensor in get_peft_model_state_dict(network).items()
        }
        set_peft_model_state_dict(network, states[name])
    return pipe, states


def diffusers_adapter(family: str, folder: Path) -> None:
    """As ``save_lora_weights`` writes it today: PEFT's names, the configuration as metadata."""
    pipe, states = lora_states(family)
    layers = {f"{name}_lora_layers": state for name, state in states.items()}
    settings = {
        f"{name}_lora_adapter_metadata": getattr(pipe, name).peft_config["default"].to_dict()
        for name in states
    }
    type(pipe).save_lora_weights(folder, **layers, **settings)


def older_diffusers_adapter(family: str, folder: Path) -> None:
    """In diffusers' own names of 2023, without α: which then is the rank."""
    pipe, states = lora_states(family, ATTENTION_LAYERS)
    layers = {
        f"{name}_lora_layers": convert_state_dict_to_diffusers(state)
        for name, state in states.items()
    }
    type(pipe).save_lora_weights(folder, **layers)


def kohya_adapter(family: str, file: Path, original: bool | None = None) -> State:
    """As kohya's scripts name it: the U-Net of XL in the names of the original code."""
    original = family == "xl" if original is None else original
    _, states = lora_states(family)
    found: State = {}
    attended = {0} if family == "xl" else {1}
    for component, state in states.items():
        first = "lora_te1_" if family == "xl" else "lora_te_"
        prefix = KOHYA.get(component, first)
        for name, tensor in state.items():
            module, _, factor = name.partition(".lora_")
            if component != "unet":
                module = f"text_model.{module.removeprefix('text_model.')}"
            elif original:
                module = unet_name(f"{module}.weight", 2, attended).removesuffix(".weight")
            flat = prefix + module.replace(".", "_")
            found[f"{flat}.lora_{'down' if factor[0] == 'A' else 'up'}.weight"] = tensor
            found[f"{flat}.alpha"] = torch.tensor(ALPHA)
    save_file(found, file)
    return found


def fused_by_diffusers(family: str, path: Path) -> dict[str, State]:
    """The weights that diffusers makes of an adapter."""
    pipe, names = pipeline(family), components_of(family)
    with _quiet():
        pipe.load_lora_weights(path)
        pipe.fuse_lora(components=names)
    return {name: _without_adapter(getattr(pipe, name)) for name in names}


def merged(base: ModelSource, expert: ModelSource, component: str) -> State:
    """``θ + τ`` of a whole component; ``θ`` where the expert has no difference."""
    own, source = base.components[component], expert.components[component]
    assert isinstance(own, WeightSource)
    assert isinstance(source, DeltaSource)
    found: State = {}
    for name in own.layout:
        theta = own.read(name)
        found[name] = theta.clone()
        if name in source.layout:
            tau = source.read_delta(name, theta)
            assert (tau.dtype, tau.shape) == (torch.float32, theta.shape)
            assert source.layout[name].shape == theta.shape
            found[name] += tau
    return found


def assert_close(found: State, expected: State, tolerance: float = 1e-6) -> None:
    assert sorted(found) == sorted(expected)
    for name, tensor in expected.items():
        difference = float((found[name] - tensor).norm())
        assert difference <= tolerance * float(tensor.norm()), name


def _without_adapter(network: nn.Module) -> State:
    state = {re.sub(r"\.base_layer\.", ".", name): t for name, t in state_of(network).items()}
    return {name: tensor for name, tensor in state.items() if ".lora_" not in name}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
