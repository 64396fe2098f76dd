"""From the factors of an adapter's module to ``τ`` of the module's weight, in float32."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Factors = Mapping[str, Tensor]
"""A module's tensors by role; see :class:`.adapter_names.AdapterModule`."""


@dataclass(frozen=True)
class Scale:
    """How strongly an adapter's product counts: ``α / r``, or ``α / √r`` (rsLoRA, 2312.03732)."""

    alpha: float | None = None
    """None counts it as ``r``."""
    rank: int | None = None
    """As configured, for factors that do not show it."""
    root: bool = False
    """Whether it is divided by ``√r``."""

    def of(self, rank: int | None) -> float:
        """The factor, for factors of this rank."""
        rank = rank or self.rank
        if self.alpha is None or rank is None:
            return 1.0
        return self.alpha / (math.sqrt(rank) if self.root else rank)


def weight_delta(factors: Factors, base: Tensor, scale: Scale) -> Tensor:
    """``τ`` of the module's weight.

    LoRA (2106.09685) ``s · B A``, for convolutions with a kernel in ``A`` or between the two; LoHa
    (2108.06098) ``s · (A₁ B₁) ∘ (A₂ B₂)``; LoKr ``s · A ⊗ B``; with a magnitude ``m``, DoRA
    (2402.09353): ``m (θ + s B A) / ‖θ + s B A‖ − θ``, the norm over each output's weights, or as
    LyCORIS may have it over each input's.

    Args:
        factors: the module's tensors by role.
        base: the module's weight ``θ``.
        scale: ``s``.

    Returns:
        Float32, of the base's shape.

    Raises:
        ValueError: the factors do not make up such a product, or not one of the base's shape.

    """
    product = _product({role: tensor.float() for role, tensor in factors.items()}, scale)
    if product.shape[0] != base.shape[0] or product.numel() != base.numel():
        raise ValueError(f"its product is {tuple(product.shape)}, the weight {tuple(base.shape)}")
    delta = product.reshape(base.shape)
    if not factors.keys() & {"magnitude", "dora_scale"}:
        return delta
    theta = base.float()
    adapted = theta + delta
    magnitude = _magnitude(factors, base)
    over = [axis for axis, size in enumerate(magnitude.shape) if size == 1]
    norm = torch.linalg.vector_norm(adapted, dim=over, keepdim=True)
    return adapted.mul_(magnitude / norm).sub_(theta)


def _magnitude(factors: Factors, base: Tensor) -> Tensor:
    """DoRA's ``m`` with ones on the axes that its norm is over.

    PEFT keeps one for each output; LyCORIS says by its shape whether it is for outputs or inputs.
    """
    ones = [1] * (base.ndim - 1)
    if "magnitude" in factors:
        found = factors["magnitude"].float().flatten()
        shapes = [(base.shape[0], *ones)]
        found = found.view(-1, *ones)
    else:
        found = factors["dora_scale"].float()
        shapes = [(base.shape[0], *ones), (1, base.shape[1], *ones[1:])]
    if tuple(found.shape) not in shapes:
        raise ValueError(f"its magnitude is {tuple(found.shape)}, the weight {tuple(base.shape)}")
    return found


def bias_delta(factors: Factors, scale: Scale) -> Tensor | None:
    """``τ`` of the module's bias; None where the adapter leaves it."""
    if "diff_bias" in factors:
        return factors["diff_bias"].float().clone()
    if "up_bias" in factors:
        return factors["up_bias"].float() * scale.of(factors["up"].shape[1])
    return None


def _product(factors: Factors, scale: Scale) -> Tensor:
    roles = factors.keys()
    if {"down", "up"} <= roles:
        return _lora(factors, scale)
    if {"embedding_down", "embedding_up"} <= roles:
        down, up = factors["embedding_down"], factors["embedding_up"]
        return (up @ down).t() * scale.of(down.shape[0])
    if {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"} <= roles:
        first = _rebuilt(factors, "hada_w1_a", "hada_w1_b", "hada_t1")
        second = _rebuilt(factors, "hada_w2_a", "hada_w2_b", "hada_t2")
        return first * second * scale.of(factors["hada_w1_b"].shape[0])
    if {"lokr_w1", "lokr_w1_a"} & roles and {"lokr_w2", "lokr_w2_a"} & roles:
        return _lokr(factors, scale)
    if "diff" in roles:
        return factors["diff"].clone()
    raise ValueError(f"it holds {', '.join(sorted(roles))} alone")


def _lora(factors: Factors, scale: Scale) -> Tensor:
    down, up = factors["down"], factors["up"]
    rank = down.shape[0]
    if "mid" in factors:  # 1×1 down, the kernel, 1×1 up
        mid = factors["mid"]
        product = torch.einsum("op,psij,sc->ocij", up.flatten(1), mid, down.flatten(1))
        return product * scale.of(rank)
    product = (up.flatten(1) * scale.of(rank)) @ down.flatten(1)
    return product.view(up.shape[0], *down.shape[1:])


def _lokr(factors: Factors, scale: Scale) -> Tensor:
    ranks = [factors[role].shape[0] for role in ("lokr_w1_b", "lokr_w2_b") if role in factors]
    first = _rebuilt(factors, "lokr_w1_a", "lokr_w1_b", "lokr_t1", whole="lokr_w1")
    second = _rebuilt(factors, "lokr_w2_a", "lokr_w2_b", "lokr_t2", whole="lokr_w2")
    first = first.reshape(*first.shape, *[1] * (second.ndim - first.ndim))
    return torch.kron(first.contiguous(), second.contiguous()) * scale.of(
        ranks[0] if ranks else None
    )


def _rebuilt(factors: Factors, a: str, b: str, core: str, whole: str = "") -> Tensor:
    """A matrix given whole, as ``A B``, or as a Tucker decomposition of a kernel."""
    if whole in factors:
        return factors[whole]
    if core in factors:
        return torch.einsum("ij...,ip,jr->pr...", factors[core], factors[a], factors[b])
    return factors[a] @ factors[b]
