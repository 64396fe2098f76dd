"""Which of the base's weights an adapter's modules are, whatever way their names are written."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from .adapter_deltas import Scale, bias_delta, weight_delta
from .adapter_names import AdapterModule, spellings
from .contract import TensorInfo
from .ldm_names import original_names
from .names import canonical_name

DENOISERS = ("unet", "transformer", "prior")
KOHYA_PREFIXES: Mapping[str, Sequence[str]] = {
    "lora_unet_": DENOISERS,
    "lora_transformer_": ("transformer",),
    "lora_te_": ("text_encoder",),
    "lora_te1_": ("text_encoder",),
    "lora_te2_": ("text_encoder_2",),
    "lora_te3_": ("text_encoder_3",),
}
"""What kohya's names start with, and the components that it may mean."""
DOTTED_PREFIXES: Mapping[str, Sequence[str]] = {
    "diffusion_model": DENOISERS,
    "model.diffusion_model": DENOISERS,
    **{
        name: (name,)
        for name in (
            *("unet", "transformer", "transformer_2", "prior", "vae", "controlnet"),
            *("text_encoder", "text_encoder_2", "text_encoder_3"),
        )
    },
}
"""What names of diffusers and its relatives start with."""
PEFT_PREFIX = "base_model.model."
REPLACEMENT = "replacement"
"""The role of a whole tensor that an adapter keeps in place of the base's."""


def candidates_of(name: str) -> tuple[Sequence[str] | None, str]:
    """The components that a module may be of, and its name in them.

    Returns:
        None in the place of components where the name does not tell.

    """
    for prefix, components in KOHYA_PREFIXES.items():
        if name.startswith(prefix):
            return components, name.removeprefix(prefix)
    name = name.removeprefix("lycoris_").removeprefix(PEFT_PREFIX)
    for prefix, components in DOTTED_PREFIXES.items():
        if name.startswith(f"{prefix}."):
            return components, name.removeprefix(f"{prefix}.")
    return None, name


@dataclass(frozen=True)
class Target:
    """A module of an adapter that was found in the base."""

    module: AdapterModule
    name: str
    """The module's name in the model, for patterns in the adapter's settings."""
    weight: str | None
    """The base's tensors that it changes."""
    bias: str | None


class TargetNames:
    """Looks up modules in one component.

    Args:
        layout: the component's tensors in diffusers' names.

    """

    def __init__(self, layout: Mapping[str, TensorInfo]) -> None:
        self.layout = layout
        self._by_name = {canonical_name(name): name for name in layout}

    def find(self, module: AdapterModule, name: str) -> Target | str:
        """The weights that a module of this name changes, or what is wrong.

        Args:
            module: what the adapter holds for it.
            name: its name without the component's prefix.

        """
        if REPLACEMENT in module.tensors:
            found = self._by_name.get(canonical_name(name))
            return Target(module, name, found, None) if found else "no such tensor"
        for spelled in spellings(name):
            weight = self._by_name.get(canonical_name(f"{spelled}.weight"))
            if weight is not None:
                return self._target(module, spelled, weight)
        weight = self._flat.get(name.replace(".", "_")) or self._flat_original.get(name)
        if weight is None:
            return "no such module"
        return self._target(module, weight.removesuffix(".weight"), weight)

    def check(self, target: Target, shapes: Mapping[str, TensorInfo]) -> str | None:
        """What is wrong with the shapes of a module's tensors; tried without any data.

        Args:
            target: what it changes.
            shapes: of the module's tensors, by role.

        """
        weight, bias = target.weight, target.bias
        factors = {role: _shape_of(info) for role, info in shapes.items()}
        try:
            if REPLACEMENT in factors:
                wrong = weight and factors[REPLACEMENT].shape != self.layout[weight].shape
                return f"its shape is {tuple(factors[REPLACEMENT].shape)}" if wrong else None
            if weight is not None and factors.keys() - {"diff_bias", "up_bias"}:
                weight_delta(factors, _shape_of(self.layout[weight]), Scale())
            found = bias_delta(factors, Scale())
        except (ValueError, RuntimeError) as error:
            return f"its factors do not fit: {str(error).splitlines()[0]}"
        if found is not None and (bias is None or found.shape != self.layout[bias].shape):
            return "its bias does not fit"
        return None

    def _target(self, module: AdapterModule, name: str, weight: str) -> Target:
        bias = f"{weight.removesuffix('.weight')}.bias"
        return Target(module, name, weight, bias if bias in self.layout else None)

    @functools.cached_property
    def _flat(self) -> Mapping[str, str]:
        """The scripts of kohya write underscores for dots, and CLIP's old prefix."""
        flat: dict[str, str] = {}
        for canonical, name in self._by_name.items():
            if canonical.endswith(".weight"):
                key = canonical.removesuffix(".weight").replace(".", "_")
                flat[key] = flat[f"text_model_{key}"] = name
        return flat

    @functools.cached_property
    def _flat_original(self) -> Mapping[str, str]:
        return {
            old.removesuffix(".weight").replace(".", "_"): name
            for old, name in original_names(self.layout).items()
            if old.endswith(".weight")
        }


def _shape_of(info: TensorInfo) -> torch.Tensor:
    return torch.empty(info.shape, device="meta")
