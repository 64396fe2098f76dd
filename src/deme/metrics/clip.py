"""CLIP as a detector: the projected embeddings of its vision tower, and those of captions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .detector import Detector
from .float32 import full_float32
from .preparation import ImagePreparation
from .pretrained import PretrainedFolder

CLIP_PREFIX = "clip"
PRESETS = {
    "clip-l14": "openai/clip-vit-large-patch14-336",
    "clip-g14": "laion/CLIP-ViT-g-14-laion2B-s12B-b42K",
}
"""Published models by a short name: ``clip-l14`` is CMMD's (Jayasumana et al., arXiv:2401.09603),
``clip-g14`` that of the CLIP scores of many text-to-image papers."""
VISION_TYPES = ("clip", "clip_vision_model")
TEXT_TYPES = ("clip", "clip_text_model")


class ClipNetwork(nn.Module):
    """CLIP's vision tower with its projection and the preparation of its images.

    ``forward`` maps uint8 images ``(B, C, H, W)`` of any size, C in {1, 3}, to float32 embeddings
    ``(B, E)``. They are as the projection gives them, not scaled to length one: CMMD and the CLIP
    score do that themselves, and the Fréchet distance is taken of them as they are.
    """

    def __init__(self, tower: nn.Module, preparation: ImagePreparation) -> None:
        super().__init__()
        self.tower = tower
        self.preparation = preparation

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings ``(B, E)`` of uint8 images ``(B, C, H, W)``."""
        return self.tower(pixel_values=self.preparation(images)).image_embeds


def load_clip(source: str, device: str | torch.device = "cpu", name: str | None = None) -> Detector:
    """Load CLIP's vision tower, in float32.

    The images are prepared as the model's own ``preprocessor_config.json`` says. CMMD's published
    code resizes to 336×336 with the same cubic; of square images it differs by the rounding to
    whole levels alone.

    Args:
        source: a folder, or a hub id with an optional ``@revision``, of a whole CLIP model or of
            its vision tower with projection, with safetensors weights.
        device: where to compute.
        name: what to call it; None: the last part of ``source``.

    Raises:
        ConfigError: neither a folder nor a model that could be fetched.
        ModelError: another kind of model, or one without safetensors weights.
        StorageError: a file cannot be read.

    """
    from transformers import CLIPVisionModelWithProjection

    folder = _clip_folder(source, VISION_TYPES)
    tower = folder.load(CLIPVisionModelWithProjection)
    preparation = ImagePreparation.of_folder(folder.path, tower.config.image_size)
    return Detector(
        ClipNetwork(tower, preparation),
        name=name or folder.name,
        digest=folder.digest,
        dimensions=tower.visual_projection.out_features,
        device=device,
        preparation=preparation.describe(),
    )


def clip_text_features(
    source: str,
    captions: Sequence[str],
    *,
    batch_size: int = 256,
    device: str | torch.device = "cpu",
) -> Tensor:
    """Float32 embeddings ``(N, E)`` on the CPU of captions, in the space of the images'.

    Args:
        source: a name of :data:`PRESETS`, or as for :func:`load_clip`, of a whole CLIP model with
            its tokenizer.
        captions: N texts; what is beyond the model's length (77 tokens) is cut off.
        batch_size: a matter of memory alone.
        device: where to compute.

    Raises:
        ConfigError, ModelError, StorageError: as for :func:`load_clip`.

    """
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    folder, device = _clip_folder(source, TEXT_TYPES), torch.device(device)
    model = folder.load(CLIPTextModelWithProjection).to(device)
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder.path, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(
            f"The CLIP model {source} has no tokenizer: {error}",
            fix="give the folder of a whole CLIP model, with its tokenizer's files",
        ) from error
    features = [torch.zeros(0, model.text_projection.out_features)]
    for start in range(0, len(captions), batch_size):
        tokens = tokenizer(
            list(captions[start : start + batch_size]),
            padding=True,
            truncation=True,
            max_length=model.config.max_position_embeddings,
            return_tensors="pt",
        ).to(device)
        with torch.inference_mode(), full_float32(device):
            features.append(model(**tokens).text_embeds.float().cpu())
    return torch.cat(features)


def _clip_folder(source: str, types: Sequence[str]) -> PretrainedFolder:
    folder = PretrainedFolder.find(PRESETS.get(source, source), family="CLIP", prefix=CLIP_PREFIX)
    folder.require_type(types)
    return folder
