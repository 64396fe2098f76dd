"""torch-fidelity, whose networks and weights are used as published: imported when needed."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from ..errors import MissingExtraError, ModelError, StorageError
from ..merge.sources.tensor_checkpoint import map_checkpoint

EXTRA = "eval"


def import_fidelity(feature: str) -> Any:
    """Give the package ``torch_fidelity``.

    Args:
        feature: what needs it, for the message.

    Raises:
        MissingExtraError: it or torchvision, which it imports, is not installed.
        ModelError: torchvision was built for another PyTorch.

    """
    try:
        return importlib.import_module("torch_fidelity")
    except ImportError as error:
        missing = (error.name or "").partition(".")[0].replace("_", "-") or "torch-fidelity"
        raise MissingExtraError(feature, missing, EXTRA) from error
    except RuntimeError as error:
        raise ModelError(
            f"{feature} needs torchvision, which cannot be imported beside this PyTorch ({error})",
            fix=f"install the torchvision that belongs to torch {torch.__version__}, from the same "
            "place as torch",
        ) from error


def hub_weights(url: str, hash_prefix: str | None = None) -> Path:
    """Give the file that PyTorch's hub cache has of ``url``, downloaded if it is not there.

    It is the very cache that torch-fidelity and torchvision look into.

    Args:
        url: where the weights are published.
        hash_prefix: how the SHA-256 of a downloaded file begins, where the publisher says so.

    Raises:
        StorageError: the download fails, or the file is another than published.

    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if path.is_file():
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix, progress=False)
    except (OSError, RuntimeError) as error:
        raise StorageError(
            f"Cannot download {url}: {error}",
            fix=f"check the network, or download by hand and put the file at {path}",
        ) from error
    return path


def require_plain_tensors(path: Path) -> None:
    """Refuses a checkpoint that holds more than tensors, as torch-fidelity would unpickle it.

    Raises:
        StorageError: the file is missing, truncated or no checkpoint.
        ModelError: it holds more than tensors; nothing in it was run.

    """
    map_checkpoint(path)
