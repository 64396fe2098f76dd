"""Gram matrices of the inputs of linear layers and convolutions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .forwards import Forward
from .sums import empty_sum, widened


class InputGram:
    """``Σ x xᵀ`` of one layer's inputs, over samples and positions.

    Args:
        layer: a linear layer, or a convolution without groups.

    """

    def __init__(self, layer: nn.Linear | nn.Conv2d) -> None:
        self.layer = layer
        self.rows = 0
        size = layer.weight[0].numel()
        self.total = empty_sum((size, size), layer.weight.device)

    def add(self, inputs: Tensor) -> None:
        """Adds the inputs of a forward pass, ``(B, …, in)`` or ``(B, in, H, W)``.

        One sample's product is in the network's precision, their sum in float64: so the batch
        size changes nothing but rounding, and only one sample's patches are in memory.
        """
        for sample in inputs.split(1):
            rows = _rows(self.layer, sample)
            self.total += widened(rows.mT @ rows, self.total)
            self.rows += len(rows)

    def mean(self) -> Tensor:
        """``E[x xᵀ]``, float64 ``(in·k·k, in·k·k)``, exactly symmetric."""
        return (self.total + self.total.mT) / (2 * self.rows)


def input_grams(
    network: nn.Module, forwards: Iterable[Forward], max_features: int
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """``E[x xᵀ]`` of each layer ``y = W x``, float64, and the weights left out with the reason.

    For a convolution ``x`` is a patch, unfolded with its stride, padding and dilation to
    ``(in·k·k,)`` in the order of ``weight.flatten(1)``. The mean is over samples and positions.
    A layer's bias is no part of ``x``: RegMean averages biases.

    Args:
        network: as it is evaluated, without dropout; its modes are as before in the end.
        forwards: on any number of samples each.
        max_features: layers of more inputs are left out.

    """
    grams: dict[str, InputGram] = {}
    skipped: dict[str, str] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            reason = _why_not(layer, max_features)
            if reason is None:
                grams[f"{name}.weight"] = InputGram(layer)
            else:
                skipped[f"{name}.weight"] = reason
    with _observed(network, grams), torch.no_grad():
        for forward in forwards:
            forward()
    skipped |= {name: "not used" for name, gram in grams.items() if gram.rows == 0}
    return {name: gram.mean() for name, gram in grams.items() if gram.rows}, skipped


def _why_not(layer: nn.Linear | nn.Conv2d, max_features: int) -> str | None:
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        return f"{layer.groups} groups"
    features = layer.weight[0].numel()
    return f"{features} inputs" if features > max_features else None


@contextlib.contextmanager
def _observed(network: nn.Module, grams: Mapping[str, InputGram]) -> Iterator[None]:
    """Evaluation mode with the layers' inputs added up, for the time of the block."""
    training = {module: module.training for module in network.modules()}
    network.eval()
    with contextlib.ExitStack() as hooks:
        for gram in grams.values():
            handle = gram.layer.register_forward_pre_hook(_adder(gram), with_kwargs=True)
            hooks.callback(handle.remove)
        try:
            yield
        finally:
            for module, mode in training.items():
                module.training = mode


def _adder(gram: InputGram) -> Any:
    def add(layer: nn.Module, args: tuple[Tensor, ...], kwargs: Mapping[str, Tensor]) -> None:
        gram.add(args[0] if args else kwargs["input"])

    return add


def _rows(layer: nn.Linear | nn.Conv2d, sample: Tensor) -> Tensor:
    """What the layer's matrix is applied to, ``(positions, in·k·k)``."""
    if isinstance(layer, nn.Linear):
        return sample.flatten(0, -2)
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    padded = functional.pad(sample, _padding(layer), mode)
    patches = functional.unfold(
        padded, layer.kernel_size, dilation=layer.dilation, stride=layer.stride
    )
    return patches[0].mT


def _padding(layer: nn.Conv2d) -> tuple[int, int, int, int]:
    """Left, right, top and bottom."""
    if layer.padding == "same":  # what is odd goes to the right and to the bottom
        sides = []
        for kernel, dilation in zip(layer.kernel_size[::-1], layer.dilation[::-1], strict=True):
            whole = dilation * (kernel - 1)
            sides += [whole // 2, whole - whole // 2]
        return sides[0], sides[1], sides[2], sides[3]
    if isinstance(layer.padding, str):  # "valid"
        return 0, 0, 0, 0
    height, width = layer.padding
    return width, width, height, height
