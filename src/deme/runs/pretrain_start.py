"""Where a pretraining starts: a stock pipeline of random weights, or one that is there."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..denoisers import Denoiser, ModelConfig, load_denoiser
from ..denoisers.loading import resolve_folder
from ..errors import ConfigError, ModelError
from ..files import atomic_path
from ..randomness import derive_seed
from .flops import forward_flops
from .pretrain_architectures import SHIPPED
from .pretrain_spec import PretrainSpec

PURPOSE = "initial weights"


def described_start(spec: PretrainSpec, cache: Path) -> dict[str, Any] | None:
    """What decides the random weights that training starts from; None where it starts from others.

    Args:
        spec: the pretraining.
        cache: where a known pipeline's configuration is written.

    Returns:
        ``network`` and ``scheduler``, configurations in diffusers' keys, and ``seed``.

    Raises:
        ModelError: the path's configuration cannot be had.

    """
    start = spec.model
    if not start.is_random:
        return None
    if start.path is not None:
        folder = resolve_folder(_config(spec), cache)
        network = _read(folder / "unet" / "config.json")
        scheduler = _read(folder / "scheduler" / "scheduler_config.json")
    else:
        known = start.architecture
        network = SHIPPED[known] if isinstance(known, str) else dict(known or {})
        scheduler = {"_class_name": "DDPMScheduler", **spec.scheduler.model_dump(mode="json")}
    return {"network": {**network, **start.changes}, "scheduler": scheduler, "seed": spec.seed}


def start_config(spec: PretrainSpec, folder: Path) -> ModelConfig:
    """The model that training starts from: ``folder`` where its weights are random, else the path.

    Args:
        spec: the pretraining.
        folder: where :func:`write_start` wrote the random weights.

    """
    return ModelConfig(path=str(folder)) if spec.model.is_random else _config(spec)


def write_start(described: Mapping[str, Any], folder: Path) -> None:
    """Writes a diffusers pipeline of random weights, complete or not at all.

    The weights are diffusers' own initialisation, drawn from a generator of their own.

    Args:
        described: see :func:`described_start`.
        folder: where to.

    Raises:
        ConfigError: the architecture cannot be built, or does not run at its own size.
        ModelError: it is of a family that is not supported.
        StorageError: no space left, or no permission.

    """
    import diffusers

    network = _build(dict(described["network"]), int(described["seed"]))
    kind = getattr(diffusers, described["scheduler"]["_class_name"])
    scheduler = kind.from_config(dict(described["scheduler"]))
    with atomic_path(folder) as partial:
        diffusers.DDPMPipeline(unet=network, scheduler=scheduler).save_pretrained(partial)
        _require_running(load_denoiser(partial))


def _build(config: dict[str, Any], seed: int) -> Any:
    from diffusers import UNet2DModel

    kind = config.pop("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise ModelError(
            f"The architecture is a {kind}; this family cannot be trained from random weights yet",
            choices=["UNet2DModel"],
        )
    known = [name for name in inspect.signature(UNet2DModel.__init__).parameters if name != "self"]
    wanted = {name: value for name, value in config.items() if not name.startswith("_")}
    for name in wanted:
        if name not in known:
            raise ConfigError(
                f"model.architecture: {name!r} is no key of a {kind}", choices=known, given=name
            )
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, PURPOSE))
            return UNet2DModel(**wanted)
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise _impossible(error) from error


def _require_running(denoiser: Denoiser) -> None:
    try:
        forward_flops(denoiser)
    except RuntimeError as error:
        raise _impossible(error) from error


def _impossible(error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())[:240]
    return ConfigError(
        f"The architecture cannot be built: {reason}",
        fix="correct model.architecture or model.changes: widths must be multiples of "
        "norm_num_groups, and sample_size must be divisible by 2 at each level but the last",
    )


def _config(spec: PretrainSpec) -> ModelConfig:
    keys = {"path", "revision", "variant", "random_weights"}
    return ModelConfig.model_validate(spec.model.model_dump(include=keys))


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {error}") from error
    return {name: value for name, value in values.items() if name != "_diffusers_version"}
