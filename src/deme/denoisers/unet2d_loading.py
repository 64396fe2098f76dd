"""A pipeline folder whose network is a ``UNet2DModel`` to a denoiser, strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import diffusers
import torch
from diffusers import UNet2DModel

from ..errors import ModelError
from .loading import component_class
from .schedule import NoiseSchedule
from .unet2d import COMPONENT, UNet2DDenoiser

RANDOM_WEIGHTS_SEED = 0
KNOWN_SCHEDULERS = ("DDPMScheduler", "DDIMScheduler", "PNDMScheduler")


def load_unet2d(
    folder: Path, name: str, *, variant: str | None, random_weights: bool
) -> UNet2DDenoiser:
    """Builds the denoiser from a pipeline folder whose ``model_index.json`` names a UNet2DModel.

    Raises:
        ModelError: weights that are missing, truncated, a pickle of more than tensors, or that do
            not fit the configuration; a scheduler without ``alphas_cumprod``; components beside
            network and scheduler, such as a latent model's autoencoder.

    """
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    others = [
        part
        for part in index
        if part not in (COMPONENT, "scheduler") and component_class(index, part) is not None
    ]
    if others:
        raise ModelError(
            f"{name} ({index.get('_class_name')}) also has {', '.join(others)}; only pipelines of "
            "a unet and a scheduler, which work on pixels, are supported for UNet2DModel"
        )
    scheduler = _load_scheduler(folder, name, component_class(index, "scheduler"))
    schedule = NoiseSchedule.variance_preserving(scheduler.alphas_cumprod)
    network = _load_network(folder / COMPONENT, variant, random_weights)
    network.eval().requires_grad_(False)
    return UNet2DDenoiser(network, schedule, dict(scheduler.config), folder, name)


def _load_network(folder: Path, variant: str | None, random_weights: bool) -> UNet2DModel:
    try:
        if random_weights:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(RANDOM_WEIGHTS_SEED)
                config = cast(dict[str, Any], UNet2DModel.load_config(str(folder)))
                return cast(UNet2DModel, UNet2DModel.from_config(config))
        loaded: Any = UNet2DModel.from_pretrained(
            folder, variant=variant, low_cpu_mem_usage=False, output_loading_info=True
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The model in {folder} cannot be loaded: {' '.join(str(error).split())[:400]}",
            fix="give a folder with config.json and a complete safetensors file (a .bin is read "
            "only where it is a plain checkpoint of tensors)",
        ) from error
    network, found = loaded
    wrong = [f"missing {key}" for key in found["missing_keys"]]
    wrong += [f"unexpected {key}" for key in found["unexpected_keys"]]
    if wrong:  # diffusers only warns, and goes on with random weights
        more = f"; and {len(wrong) - 6} more" if len(wrong) > 6 else ""
        raise ModelError(
            f"The weights in {folder} do not fit its config.json: {'; '.join(wrong[:6])}{more}",
            fix="give the configuration that the weights were trained with",
        )
    return _in_memory(network.float())


def _in_memory(network: UNet2DModel) -> UNet2DModel:
    """Copies what safetensors maps from the file, at odd addresses, into aligned memory.

    The mapped file may change; and small matrix products round by address, so that a copy of the
    model would not predict the same bits.
    """
    for tensor in (*network.parameters(), *network.buffers()):
        tensor.data = tensor.data.clone()
    return network


def _load_scheduler(folder: Path, name: str, kind: str | None) -> Any:
    """The pipeline's scheduler, whose ``alphas_cumprod`` is ``ᾱ`` over the timesteps."""
    scheduler_class = getattr(diffusers, kind or "", None)
    if scheduler_class is None:
        raise ModelError(
            f"{name}'s scheduler {kind} is not one of diffusers'", choices=KNOWN_SCHEDULERS
        )
    try:
        scheduler = scheduler_class.from_pretrained(folder / "scheduler")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{name}'s scheduler cannot be loaded: {' '.join(str(error).split())[:400]}",
            fix="give a pipeline folder with scheduler/scheduler_config.json",
        ) from error
    if not hasattr(scheduler, "alphas_cumprod"):
        raise ModelError(
            f"{name}'s scheduler {kind} has no ᾱ over the timesteps", choices=KNOWN_SCHEDULERS
        )
    return scheduler
