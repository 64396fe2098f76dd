"""Floating-point operations of a network, counted without computing anything."""

from __future__ import annotations

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..denoisers import Denoiser

BACKWARD = 2
"""A backward pass does about twice the operations of the forward pass (arXiv:2001.08361, 2.1)."""


def forward_flops(denoiser: Denoiser) -> int:
    """Operations of one forward pass for one image; a multiplication and an addition are two.

    Convolutions, matrix products and attention are counted, as torch counts them.

    Args:
        denoiser: its network is copied to torch's ``meta`` device, which has shapes and no values.

    Raises:
        RuntimeError: the network does not fit its own sample's shape.

    """
    network = copy.deepcopy(denoiser.network).to("meta")
    labels = None if denoiser.num_classes is None else torch.zeros(1, dtype=torch.long)
    conditioning = {
        name: value.to("meta") for name, value in denoiser.condition(labels=labels).items()
    }
    x_t = torch.empty((1, *denoiser.sample_shape), device="meta")
    t = torch.zeros(1, dtype=torch.long, device="meta")
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        denoiser.predict_with(network, x_t, t, conditioning)
    return int(counter.get_total_flops())


def training_flops(forward: float, images: float, *, teacher: bool = False) -> float:
    """Operations of training on so many images, to the accuracy of :data:`BACKWARD`.

    Args:
        forward: of one forward pass for one image.
        images: steps times the images of a step.
        teacher: whether a frozen model predicts too.

    """
    return forward * images * (1 + BACKWARD + teacher)
