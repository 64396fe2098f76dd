"""Reading weights from files: safetensors, or a plain tensor checkpoint without code in it."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..denoisers.contract import PROJECTIONS_FILE
from ..errors import ModelError, StorageError
from .state_dict import StateDict

COMPONENTS = ("unet", "transformer")
SAFETENSORS = "diffusion_pytorch_model.safetensors"


def read_weights(path: Path) -> StateDict:
    """Weights from a pipeline folder, a component's folder, or one file.

    A ``.bin``, ``.pt`` or ``.ckpt`` file is read with ``weights_only=True``: tensors and plain
    containers, no code. Channel-wise projections that were saved beside a pipeline's own files
    belong to its weights.

    Raises:
        ModelError: nothing to read there, or a pickle that holds more than tensors.
        StorageError: a truncated file, or one that may not be read.

    """
    file = _find_file(path)
    weights = _read_file(file)
    projections = file.parent.parent / PROJECTIONS_FILE
    if file.parent.name in COMPONENTS and projections.is_file():
        weights = {**weights, **_read_safetensors(projections)}
    return StateDict(weights, str(path))


def _read_file(file: Path) -> Mapping[str, Tensor]:
    loaded = _read_safetensors(file) if file.suffix == ".safetensors" else _read_pickle(file)
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in loaded.items()
    ):
        raise ModelError(
            f"{file} is not a plain dictionary of tensors",
            fix="save the weights as safetensors (save_pretrained does)",
        )
    return loaded


def _read_safetensors(file: Path) -> Mapping[str, Tensor]:
    try:
        return load_file(file)
    except OSError as error:
        raise StorageError(f"Cannot read {file}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise StorageError(
            f"{file} is truncated or not a safetensors file ({error})",
            fix="copy or download it again",
        ) from error


def _read_pickle(file: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the messages below say
            return torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise StorageError(f"Cannot read {file}: {error.strerror or error}") from error
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{file} is not a checkpoint of plain tensors: it holds more, or is damaged; reading "
            "it could run any code",
            fix="save the weights as safetensors (save_pretrained does)",
        ) from error
    except Exception as error:  # on damaged bytes the unpickler fails with whatever comes up
        raise StorageError(
            f"{file} is truncated or not a checkpoint ({type(error).__name__}: {error})",
            fix="copy or download it again",
        ) from error


def _find_file(path: Path) -> Path:
    if path.is_file():
        return path
    for folder in (path, *(path / component for component in COMPONENTS)):
        for name in (SAFETENSORS, "diffusion_pytorch_model.bin", "pytorch_model.bin"):
            if (folder / name).is_file():
                return folder / name
    raise ModelError(
        f"No weights found at {path}",
        choices=[f"<folder>/{name}/{SAFETENSORS}" for name in COMPONENTS],
        fix="give a diffusers pipeline folder or a weights file",
    )
