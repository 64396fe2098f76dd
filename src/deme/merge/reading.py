"""Reading weights from files: safetensors, or a plain tensor checkpoint without code in it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..errors import ModelError, StorageError
from .state_dict import StateDict

COMPONENTS = ("unet", "transformer")
SAFETENSORS = "diffusion_pytorch_model.safetensors"


def read_weights(path: Path) -> StateDict:
    """Weights from a pipeline folder, a component's folder, or one file.

    A ``.bin``, ``.pt`` or ``.ckpt`` file is read with ``weights_only=True``: tensors and plain
    containers, no code.

    Raises:
        ModelError: nothing to read there, or a pickle that holds more than tensors.
        StorageError: a truncated file.

    """
    file = _find_file(path)
    if file.suffix == ".safetensors":
        try:
            return StateDict(load_file(file), str(path))
        except SafetensorError as error:
            raise StorageError(
                f"{file} is truncated or not a safetensors file ({error})",
                fix="copy or download it again",
            ) from error
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{file} is a pickle that holds more than tensors; reading it could run any code",
            fix="save the weights as safetensors (save_pretrained does)",
        ) from error
    except (RuntimeError, EOFError) as error:
        raise StorageError(f"{file} is truncated ({error})", fix="copy it again") from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(value, Tensor) for value in loaded.values()
    ):
        raise ModelError(f"{file} is not a plain dictionary of tensors")
    return StateDict(loaded, str(path))


def _find_file(path: Path) -> Path:
    if path.is_file():
        return path
    for folder in (path, *(path / component for component in COMPONENTS)):
        if (folder / SAFETENSORS).is_file():
            return folder / SAFETENSORS
        for name in ("diffusion_pytorch_model.bin", "pytorch_model.bin"):
            if (folder / name).is_file():
                return folder / name
    raise ModelError(
        f"No weights found at {path}",
        choices=[f"<folder>/{name}/{SAFETENSORS}" for name in COMPONENTS],
        fix="give a diffusers pipeline folder or a weights file",
    )
