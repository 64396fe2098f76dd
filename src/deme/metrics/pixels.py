"""Coarse pixels as features: a detector without a network, so that every run has a second opinion.

A search that fitted the network it was judged by makes images that the network likes and that are
no nearer to the real ones; their pixels show it. A distance of pixels says nothing of sharpness.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..files import hash_bytes
from .detector import Detector

SIDE = 8
CHANNELS = 3
DEFINITION = f"area mean to {SIDE}×{SIDE}, {CHANNELS} channels, divided by 255"
"""All that decides its features; its digest is of these words."""


class PixelsNetwork(nn.Module):
    """Images averaged over a grid of 8×8 equal boxes.

    ``forward`` maps uint8 images ``(B, C, H, W)`` of any size to float32 features ``(B, 192)`` in
    ``[0, 1]``, channel by channel and row by row. A pixel that two boxes share counts in each by
    its share, so a side need not be a multiple of 8; smaller images are enlarged by repetition.
    One channel is repeated to three: 192 columns of which 64 differ.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, 192)`` of uint8 images ``(B, C, H, W)``."""
        height, width = images.shape[-2:]
        rows, columns = _shares(height).to(images.device), _shares(width).to(images.device)
        boxes = rows @ images.float() @ columns.T / 255
        return boxes.expand(-1, CHANNELS, -1, -1).flatten(1)


def load_pixels(device: str | torch.device = "cpu") -> Detector:
    """Give the detector ``pixels``."""
    return Detector(
        PixelsNetwork(),
        name="pixels",
        digest=hash_bytes(DEFINITION.encode()),
        dimensions=CHANNELS * SIDE * SIDE,
        device=device,
    )


def _shares(length: int) -> Tensor:
    """``(8, length)``: how much of each box each pixel makes up along one axis; rows sum to 1."""
    edges = torch.arange(SIDE + 1, dtype=torch.float64) * length / SIDE
    pixels = torch.arange(length, dtype=torch.float64)
    begins = torch.maximum(edges[:-1, None], pixels)
    ends = torch.minimum(edges[1:, None], pixels + 1)
    return ((ends - begins).clamp_min(0) * SIDE / length).float()
