"""Mapping a checkpoint that ``torch.save`` wrote: tensors and plain containers, never code."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from ...errors import ModelError, StorageError
from .contract import TensorInfo
from .mapped import MappedFile


def map_checkpoint(file: Path) -> MappedFile:
    """Opens a ``.bin``, ``.pt``, ``.pth`` or ``.ckpt`` file.

    Its tensors are views of the mapped file; those of a file from before torch 1.6, which is no zip
    archive, are in memory. A ``state_dict`` inside the checkpoint is taken in its place.

    Raises:
        ModelError: the pickle holds more than tensors; nothing in it was run.
        StorageError: the file is truncated, is no checkpoint, or cannot be read.

    """
    loaded = _load(file)
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) and value.layout == torch.strided
        for name, value in loaded.items()
    ):
        raise ModelError(
            f"{file} is not a plain dictionary of tensors",
            fix="save the weights as safetensors (save_pretrained does)",
        )
    tensors = {name: tensor.detach() for name, tensor in loaded.items()}
    layout = {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in tensors.items()}
    return MappedFile(file, layout, tensors.__getitem__)


def _load(file: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what the messages below say
            return torch.load(
                file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
            )
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
