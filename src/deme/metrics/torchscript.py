"""Feature networks in the TorchScript convention of the StyleGAN and EDM papers.

A scripted module that maps uint8 images ``(B, 3, H, W)`` to features ``(B, D)`` and does every
resize and scale by itself, so that the numbers do not depend on who calls it.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError, StorageError

FEATURES_ARGUMENT = "return_features"


class ScriptedNetwork(nn.Module):
    """A scripted module, called for its features.

    NVIDIA's Inception returns class scores unless ``forward`` is told ``return_features=True``;
    the argument is passed where the script's schema has it.
    """

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        self.script = script
        forward: Any = script.forward
        names = {argument.name for argument in forward.schema.arguments}
        self.options = {FEATURES_ARGUMENT: True} if FEATURES_ARGUMENT in names else {}

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(B, D)`` of uint8 images ``(B, C, H, W)``; one channel is repeated to 3."""
        if images.shape[1] == 1:
            images = images.expand(-1, 3, -1, -1)
        return self.script(images, **self.options)


def load_scripted_network(path: Path, device: torch.device) -> ScriptedNetwork:
    """Load a TorchScript file. It can run no Python, unlike a pickled module.

    Raises:
        StorageError: the file is missing.
        ModelError: it is not TorchScript, or it is truncated.

    """
    if not path.is_file():
        raise StorageError(f"There is no detector file {path}", fix="check the path")
    try:
        with warnings.catch_warnings():
            # The convention's files exist in this format alone: its deprecation is no user's news.
            warnings.filterwarnings("ignore", message=r"`torch\.jit\.load`")
            script = torch.jit.load(path, map_location=device)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path} is not a TorchScript file, or is truncated ({_first_line(error)})",
            fix="give a file written by torch.jit.save, complete (compare its size and hash)",
        ) from error
    return ScriptedNetwork(script).eval()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
