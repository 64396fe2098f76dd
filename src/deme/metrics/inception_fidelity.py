"""TensorFlow's Inception of 2015 as torch-fidelity has it: for FID, sFID, Inception score."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..files import hash_file
from .detector import FEATURES, PROBABILITIES, SPATIAL, Detector
from .fidelity import hub_weights, import_fidelity, require_plain_tensors

NAME = "inception-fidelity"
WEIGHTS_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth"
)
WEIGHTS_HASH = "6726825d"
POOLED = "2048"
LOGITS = "logits_unbiased"
SPATIAL_CHANNELS = 7
WIDTHS = {FEATURES: 2048, SPATIAL: 17 * 17 * SPATIAL_CHANNELS, PROBABILITIES: 1008}
PREPARATION = "bilinear to 299×299 as TensorFlow 1, (x − 128)/128"


class InceptionNetwork(nn.Module):
    """torch-fidelity's feature extractor, read at three places in one pass.

    - ``features`` ``(B, 2048)``: the last pooling, for FID and KID.
    - ``spatial`` ``(B, 2023)``: the first 7 channels of ``mixed_6/conv``, 17×17 places, for sFID
      (Nash et al., arXiv:2103.03841; the layer and the count are those of ADM's evaluation code).
      In this library's names that layer is ``Mixed_6d.branch1x1``.
    - ``probabilities`` ``(B, 1008)``: softmax of the scores without the bias, for the Inception
      score, as its published code has it.
    """

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, 2048)`` of uint8 images ``(B, C, H, W)``; one channel is repeated to 3."""
        return self.tables(images, (FEATURES,))[FEATURES]

    def tables(self, images: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
        """Those of ``features``, ``spatial`` and ``probabilities`` that ``names`` holds."""
        kept: list[Tensor] = []
        hook = self.extractor.Mixed_6d.branch1x1.register_forward_hook(
            lambda module, inputs, output: kept.append(output)
        )
        # The extractor stops after the last layer it is asked for.
        self.extractor.features_list = [POOLED, *([LOGITS] if PROBABILITIES in names else [])]
        try:
            pooled, *logits = self.extractor(images.expand(-1, 3, -1, -1))
        finally:
            hook.remove()
        found = {FEATURES: pooled}
        if SPATIAL in names:
            found[SPATIAL] = kept[0][:, :SPATIAL_CHANNELS].permute(0, 2, 3, 1).flatten(1)
        if PROBABILITIES in names:
            found[PROBABILITIES] = logits[0].softmax(dim=1)
        return {name: found[name] for name in names}


def load_inception_fidelity(weights: str = "", device: str | torch.device = "cpu") -> Detector:
    """Load torch-fidelity's Inception, whose features agree with TensorFlow's.

    Args:
        weights: local path of its weights; empty: the published ones, from PyTorch's hub cache or
            downloaded to it once.
        device: where to compute.

    Raises:
        MissingExtraError: torch-fidelity or torchvision is not installed.
        StorageError: the weights cannot be read or downloaded.
        ModelError: the weights are not this network's.

    """
    library = import_fidelity(f"The detector {NAME!r}")
    path = Path(weights).expanduser() if weights else hub_weights(WEIGHTS_URL, WEIGHTS_HASH)
    require_plain_tensors(path)
    try:
        with torch.random.fork_rng(devices=[]):  # its layers are drawn before they are read
            extractor = library.FeatureExtractorInceptionV3(
                "inception-v3-compat", [POOLED], feature_extractor_weights_path=str(path)
            )
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"{path} does not hold torch-fidelity's Inception ({str(error).splitlines()[0]})",
            fix=f"leave the path out, or download {WEIGHTS_URL}",
        ) from error
    return Detector(
        InceptionNetwork(extractor),
        name=NAME,
        digest=hash_file(path),
        dimensions=WIDTHS[FEATURES],
        device=device,
        others={SPATIAL: WIDTHS[SPATIAL], PROBABILITIES: WIDTHS[PROBABILITIES]},
        preparation=PREPARATION,
    )
