"""From a pipeline folder or a hub id to a denoiser."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..assets import DIGITS_PIPELINE
from ..config import Config
from ..errors import ModelError, nearest
from .architectures import write_architecture
from .contract import Denoiser


def _load_unet2d(*args: Any, **options: Any) -> Denoiser:
    from .unet2d_loading import load_unet2d  # diffusers takes seconds to import

    return load_unet2d(*args, **options)


FAMILIES: dict[str, Callable[..., Denoiser]] = {"UNet2DModel": _load_unet2d}
"""The class of the denoising network, as ``model_index.json`` names it, to its family's loader."""
INDEX = "model_index.json"
DENOISING_COMPONENTS = ("unet", "transformer")
WEIGHT_FILES = (".safetensors", ".bin", ".ckpt", ".pt", ".pth")
BUNDLED = ("digits",)
"""Names of the models that come with the package; they come before folders of these names."""


class ModelConfig(Config):
    """Which pretrained model is to be improved."""

    path: str
    """A pipeline folder, a hub id such as google/ddpm-cifar10-32, or `digits` (bundled)."""
    revision: str | None = None
    """Branch, tag or commit on the hub; pin it for a run that can be repeated."""
    variant: str | None = None
    """Weight file variant, such as fp16."""
    random_weights: bool = False
    """Build the architecture from its configuration alone, to try a recipe without the weights."""


def load_denoiser(
    config: ModelConfig | str | Path, *, cache_folder: Path | None = None
) -> Denoiser:
    """Loads a pretrained pipeline as a denoiser, in float32, frozen, on the CPU.

    Args:
        config: the model's configuration, or its path or hub id alone.
        cache_folder: where a configuration-only model is written; needed for `random_weights`
            with a hub id.

    Raises:
        ModelError: not a pipeline, a family that is not supported, or weights that do not load.

    """
    if not isinstance(config, ModelConfig):
        config = ModelConfig(path=str(config))
    folder = resolve_folder(config, cache_folder)
    index_path = folder / INDEX
    if not index_path.is_file():
        raise ModelError(
            f"{config.path} is not a diffusers pipeline: it has no {INDEX}",
            fix="give the folder that save_pretrained of a whole pipeline wrote, or a hub id",
        )
    return _family(_read_index(index_path), config.path)(
        folder, config.path, variant=config.variant, random_weights=config.random_weights
    )


def _family(index: Mapping[str, Any], path: str) -> Callable[..., Denoiser]:
    """The loader of the family that a pipeline's index names.

    Raises:
        ModelError: a family that is not supported, or no denoising network at all.

    """
    for component in DENOISING_COMPONENTS:
        kind = component_class(index, component)
        if kind is None:
            continue
        if kind not in FAMILIES:
            raise ModelError(
                f"{path} has a {kind} ({index.get('_class_name')}); this family is not "
                "supported yet",
                choices=FAMILIES,
            )
        return FAMILIES[kind]
    raise ModelError(
        f"{path} ({index.get('_class_name')}) has no denoising network",
        choices=DENOISING_COMPONENTS,
        fix="give a pipeline with one of these components",
    )


def component_class(index: Mapping[str, Any], component: str) -> str | None:
    """The class of a pipeline's component in its ``model_index.json``; None where it has none."""
    entry = index.get(component)
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else None


def _read_index(path: Path) -> dict[str, Any]:
    try:
        index = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    if not isinstance(index, dict):
        raise ModelError(f"{path} is not a pipeline's index: it holds no JSON object")
    return index


def resolve_folder(config: ModelConfig, cache_folder: Path | None = None) -> Path:
    """The local folder of a model: the bundled one, the user's own, or the hub's snapshot.

    Raises:
        ModelError: neither a folder nor reachable on the hub.

    """
    if config.path in BUNDLED:
        return DIGITS_PIPELINE
    local = Path(config.path).expanduser()
    if local.is_dir():
        return local
    if config.random_weights and cache_folder is not None:
        return write_architecture(config.path, cache_folder)
    if local.is_file():
        raise ModelError(
            f"{config.path} is a file, not a pipeline folder",
            fix="give the folder that holds model_index.json",
        )
    _require_hub_id(config.path)
    return _download(config)


def _require_hub_id(path: str) -> None:
    """What is written as a path, or lies in a folder that is here, is not asked of the hub."""
    local = Path(path).expanduser()
    written_as_path = path.startswith((".", "~", "/")) or local.is_absolute() or path.count("/") > 1
    parent = local.parent
    in_folder = parent != Path() and parent.is_dir()
    if written_as_path or in_folder or local.suffix in WEIGHT_FILES:
        beside = [entry.name for entry in parent.iterdir()] if parent.is_dir() else []
        near = nearest(local.name, beside)
        hint = f" Did you mean {str(parent / near)!r}?" if near else ""
        raise ModelError(
            f"There is no {path} here.{hint}", fix="give a folder or file that is here, or a hub id"
        )


def _download(config: ModelConfig) -> Path:
    from diffusers import DiffusionPipeline
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        index = hf_hub_download(config.path, INDEX, revision=config.revision)
        _family(_read_index(Path(index)), config.path)  # before gigabytes come that nothing loads
        return Path(
            DiffusionPipeline.download(
                config.path, revision=config.revision, variant=config.variant
            )
        )
    except (OSError, ValueError, HFValidationError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ModelError(
            f"{config.path!r} is neither a folder here nor a pipeline that could be fetched from "
            f"the hub ({type(error).__name__}: {reason})",
            fix="check the name and the network (HF_TOKEN for a private model), or give the path "
            "of a local pipeline folder",
        ) from error
