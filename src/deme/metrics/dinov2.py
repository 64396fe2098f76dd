"""DINOv2 as a detector: its class token, for FD-DINOv2."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import ModelError
from .detector import Detector
from .preparation import ImagePreparation
from .pretrained import PretrainedFolder

DINOV2 = "facebook/dinov2-large"
"""The ViT-L/14 of the paper."""
SIDE = 224
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
GRID_OFFSET = 0.1
"""DINOv2's own code adds this to the grid's new side when it resizes position embeddings."""


class Dinov2Network(nn.Module):
    """DINOv2 with the preparation that FD-DINOv2 was published with.

    ``forward`` maps uint8 images ``(B, C, H, W)`` of any size, C in {1, 3}, to the class token
    after the last normalisation, float32 ``(B, D)`` (Stein et al., arXiv:2306.04675; D is 1024 for
    ViT-L/14). Images are resized to 224×224 by Pillow's cubic filter, whatever their shape, and
    normalised by ImageNet's mean and deviation.

    The position embeddings of the pretraining's grid are resized as DINOv2's own code does it (by
    the factor ``(n + 0.1)/N``); transformers' model alone samples them at slightly other places.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.preparation = ImagePreparation(
            size=(SIDE, SIDE), crop=None, mean=IMAGENET_MEAN, deviation=IMAGENET_DEVIATION
        )

    def forward(self, images: Tensor) -> Tensor:
        """Class tokens ``(B, D)`` of uint8 images ``(B, C, H, W)``."""
        return self.model(pixel_values=self.preparation(images)).last_hidden_state[:, 0]


def load_dinov2(source: str = "", device: str | torch.device = "cpu") -> Detector:
    """Load DINOv2, in float32.

    Args:
        source: a folder, or a hub id with an optional ``@revision``, with safetensors weights;
            empty: :data:`DINOV2`.
        device: where to compute.

    Raises:
        ConfigError: neither a folder nor a model that could be fetched.
        ModelError: another kind of model, or one without safetensors weights.
        StorageError: a file cannot be read.

    """
    from transformers import Dinov2Model

    folder = PretrainedFolder.find(source or DINOV2, family="DINOv2", prefix="dinov2")
    folder.require_type(("dinov2",))
    model = folder.load(Dinov2Model)
    patch = model.config.patch_size
    if SIDE % patch:
        raise ModelError(
            f"The DINOv2 model {folder.source} has patches of {patch} pixels, which {SIDE} is no "
            "multiple of",
            fix="give a model with patches of 14 pixels",
        )
    embeddings = model.embeddings
    embeddings.position_embeddings = nn.Parameter(
        resized_positions(embeddings.position_embeddings, SIDE // patch), requires_grad=False
    )
    network = Dinov2Network(model)
    return Detector(
        network,
        name=folder.name if source else "dinov2",
        digest=folder.digest,
        dimensions=model.config.hidden_size,
        device=device,
        preparation=network.preparation.describe(),
    )


def resized_positions(embeddings: Tensor, side: int) -> Tensor:
    """Position embeddings ``(1, 1 + side², D)`` of ``(1, 1 + N², D)``; the first is the token's.

    Bicubic, without antialias, sampled at intervals of ``N/(side + 0.1)``. A grid that is as wanted
    stays as it is.
    """
    token, grid = embeddings[:, :1], embeddings[:, 1:]
    before = round(grid.shape[1] ** 0.5)
    if before == side:
        return embeddings
    square = grid.reshape(1, before, before, -1).permute(0, 3, 1, 2)
    factor = (side + GRID_OFFSET) / before
    square = functional.interpolate(square, scale_factor=(factor, factor), mode="bicubic")
    return torch.cat([token, square.flatten(2).transpose(1, 2)], dim=1)
