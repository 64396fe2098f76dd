"""Channel-wise projection ``P(F) = W·F``, started at the identity, in two placements.

On the output of a linear or convolution layer it is absorbed exactly: ``W·(Kx + b) = (WK)x + Wb``.
So the ``foldable`` placement trains ``W`` as a parametrization of the layer's own weights: the
product is formed on the weights, not on the activations, which costs less and needs no more
memory per sample; folding then only keeps the product. The paper's ``block`` placement puts ``W``
after whole blocks, on the running hidden state and not on the skip tensors; it cannot be folded
and stays in the model.

What is trained is ``W − I``, from zero. So the start is exact in every precision (bf16 or TF32
would round ``I·F``), a change of the diagonal below bf16's step at 1 is not lost, and weight decay
pulls to the identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..denoisers import Denoiser
from ..denoisers.contract import PROJECTIONS, PROJECTIONS_FILE, Placement
from ..errors import ConfigError, StorageError


class ChannelProjection(nn.Module):
    """``W ∈ R^{C×C}`` on the channel axis.

    As a module it maps a feature map ``(B, C, …)``. As a parametrization it maps a layer's weight
    ``(C_out, …)`` or bias ``(C_out,)``, whose first axis is the output's channel.

    Args:
        channels: ``C``.

    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(channels, channels))

    @property
    def matrix(self) -> Tensor:
        """``W``, of shape ``(C, C)``."""
        return torch.eye(len(self.offset), device=self.offset.device) + self.offset

    def forward(self, tensor: Tensor) -> Tensor:
        """``W`` times the rows of a weight or bias whose first axis is the channel."""
        with torch.autocast(tensor.device.type, enabled=False):  # the product stays in float32
            return _project_rows(self.offset, tensor)

    def on_features(self, features: Tensor) -> Tensor:
        """``W·F`` on a feature map ``(B, C, …)``."""
        offset = self.offset.to(features.dtype)
        return features + torch.einsum("oc,bc...->bo...", offset, features)

    def is_identity(self) -> bool:
        """Whether ``W`` is still exactly the identity."""
        return not bool(self.offset.detach().any())


def attach_projections(denoiser: Denoiser, placement: Placement) -> None:
    """Puts projections at the denoiser's sites, in place. The output does not change by a bit.

    Raises:
        ConfigError: the network has projections already.

    """
    if placement != "none" and _has_projections(denoiser.network):
        raise ConfigError(
            f"{denoiser.name} has channel-wise projections already",
            fix="train with projection: none, which also trains those that are there",
        )
    sites = denoiser.projection_sites(placement)
    network = denoiser.network
    if placement == "foldable":
        for site in sites:
            layer = network.get_submodule(site.module_name)
            projection = ChannelProjection(site.channels)
            _parametrize(layer, projection)
    elif placement == "block" and sites:
        projections = nn.ModuleDict()
        for site in sites:
            projection = ChannelProjection(site.channels)
            projections[site.module_name.replace(".", "_")] = projection
            network.get_submodule(site.module_name).register_forward_hook(_BlockHook(projection))
        network.add_module(PROJECTIONS, projections)
    network.to(denoiser.device)


def fold_projections(network: nn.Module) -> None:
    """Absorbs ``foldable`` projections into their layers, in place: stock modules, stock keys.

    A projection that is still the identity leaves the layer's bits as they were.
    """
    for module in list(network.modules()):
        if not parametrize.is_parametrized(module):
            continue
        lists = cast(nn.ModuleDict, module.parametrizations)
        for name in list(lists):
            projection = cast(nn.ModuleList, lists[name])[0]
            keep = not cast(ChannelProjection, projection).is_identity()
            parametrize.remove_parametrizations(module, name, leave_parametrized=keep)


def fold_parameters(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What :func:`fold_projections` makes of a network with these parameters, without the network.

    Args:
        parameters: by the names of ``named_parameters`` of a network with projections in any
            placement, or none.

    """
    folded: dict[str, Tensor] = {}
    for key, tensor in parameters.items():
        layer, parametrized, rest = key.partition(".parametrizations.")
        name, _, part = rest.partition(".")
        if not parametrized:
            folded[key] = tensor
        elif part == "original":
            offset = parameters[f"{layer}.parametrizations.weight.0.offset"]  # the bias shares it
            changed = bool(offset.any())
            folded[f"{layer}.{name}"] = _project_rows(offset, tensor) if changed else tensor
    return folded


def restore_projections(denoiser: Denoiser, folder: Path) -> None:
    """Puts back the ``block`` projections that were saved beside a pipeline, if there are any.

    Raises:
        StorageError: the file is truncated.
        MismatchError: it is of another architecture; the denoiser is unchanged then.

    """
    file = folder / PROJECTIONS_FILE
    if not file.is_file():
        return
    try:
        saved = load_file(file)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"The channel-wise projections in {file} cannot be read: {error}",
            fix="copy the file again: without it the model is another one",
        ) from error
    twin = denoiser.clone()
    attach_projections(twin, "block")
    twin.load_weights({**denoiser.weights(), **saved})
    denoiser.network = twin.network.requires_grad_(False)


def _project_rows(offset: Tensor, tensor: Tensor) -> Tensor:
    change = offset @ (tensor.flatten(1) if tensor.ndim > 1 else tensor)
    return tensor + change.view_as(tensor)


def _has_projections(network: nn.Module) -> bool:
    return any(isinstance(module, ChannelProjection) for module in network.modules())


def _parametrize(layer: nn.Module, projection: ChannelProjection) -> None:
    """One projection shared by the layer's weight and bias."""
    for name in ("weight", "bias"):
        if getattr(layer, name, None) is not None:
            parametrize.register_parametrization(layer, name, projection, unsafe=True)


class _BlockHook:
    """Projects a block's hidden state and leaves its skip tensors alone."""

    def __init__(self, projection: ChannelProjection) -> None:
        self.projection = projection

    def __call__(self, module: nn.Module, args: object, output: object) -> object:
        if isinstance(output, tuple):
            return (self.projection.on_features(output[0]), *output[1:])
        return self.projection.on_features(cast(Tensor, output))
