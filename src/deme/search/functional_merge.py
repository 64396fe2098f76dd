"""A merge as a differentiable function of its weights, and a network called with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from ..denoisers import Denoiser
from ..errors import ConfigError, MismatchError
from ..merge import StateDict, TaskVector


class FunctionalMerge:
    """``θ(w) = θ + Σ w_i τ_i`` outside the network, whose own weights are never changed.

    The sum is taken in float32, or in float64 where the base is float64. Tensors that are not of
    floating point are the base's.

    Args:
        denoiser: whose network is called.
        base: ``θ``.
        vectors: ``τ_i``.

    Raises:
        ConfigError: no task vector.
        MismatchError: a task vector of another layout than the base.

    """

    def __init__(self, denoiser: Denoiser, base: StateDict, vectors: Sequence[TaskVector]) -> None:
        if not vectors:
            raise ConfigError("A merge needs a task vector", fix="give at least one")
        for vector in vectors:
            if {name: vector[name].shape for name in vector} != {k: base[k].shape for k in base}:
                raise MismatchError(
                    f"The task vector {vector.name} is not of {base.origin}'s layout",
                    fix="make it with TaskVector.between this base and an expert",
                )
        self.denoiser = denoiser
        self.base = base
        self.vectors = tuple(vectors)

    def at(self, weights: Sequence[float]) -> dict[str, Tensor]:
        """``θ(w)`` by name, tensors of their own on the network's device.

        Raises:
            ConfigError: a wrong number of weights.

        """
        if len(weights) != len(self.vectors):
            raise ConfigError(
                f"{len(self.vectors)} task vectors need {len(self.vectors)} weights, not "
                f"{len(weights)}"
            )
        merged = {}
        for name, tensor in self.base.items():
            if tensor.is_floating_point():
                wide = torch.promote_types(tensor.dtype, torch.float32)
                total = tensor.to(wide, copy=True)
                for weight, vector in zip(weights, self.vectors, strict=True):
                    total.add_(vector[name].to(total), alpha=float(weight))
                merged[name] = total.to(self.denoiser.device)
            else:
                merged[name] = tensor.to(self.denoiser.device)
        return merged

    def call(self, merged: Mapping[str, Tensor], function: Callable[..., Any], *given: Any) -> Any:
        """``function(*given)`` while the denoiser's network has these weights.

        Derivatives pass through ``merged``, by reverse and by forward mode. Tensors are cast to the
        base's dtype first.
        """
        cast = {f"network.{name}": merged[name].to(self.base[name].dtype) for name in self.base}
        through = _Through(self.denoiser.network, function)
        return torch.func.functional_call(through, cast, given, tie_weights=False)

    def derivative(
        self, merged: Mapping[str, Tensor], index: int, function: Callable[[], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """``function()`` with these weights, and its derivative along ``τ_index``: dual numbers.

        Costs two to three plain calls. Attention is computed by its plain formula, as its fused
        kernels have no forward mode.

        Raises:
            RuntimeError: another operation has none.

        """
        vector = self.vectors[index]
        with sdpa_kernel(SDPBackend.MATH), _PackedGroupNorm(), forward_ad.dual_level():
            duals = {
                name: forward_ad.make_dual(item, vector[name].to(item))
                if item.is_floating_point()
                else item
                for name, item in merged.items()
            }
            value, tangent = forward_ad.unpack_dual(self.call(duals, function))
            return value, torch.zeros_like(value) if tangent is None else tangent


class _PackedGroupNorm(TorchFunctionMode):
    """Group normalisation of tensors laid out in order, tangents too.

    torch takes views of the tangent in forward mode, which fails where it is laid out otherwise
    than the tensor, as after attention.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func in (nn.functional.group_norm, torch.group_norm):
            args = (args[0].clone(memory_format=torch.contiguous_format), *args[1:])
        return func(*args, **(kwargs or {}))


class _Through(nn.Module):
    """Calls any function as if it were the forward pass of the network that it uses."""

    def __init__(self, network: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network
        self.function = function

    def forward(self, *given: Any) -> Any:
        return self.function(*given)
