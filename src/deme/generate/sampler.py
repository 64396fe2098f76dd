"""The sampling loop over diffusers' own schedulers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..denoisers import Conditioning, Denoiser
from .config import SamplerConfig


def build_scheduler(denoiser: Denoiser, config: SamplerConfig) -> Any:
    """A diffusers scheduler from the pipeline's scheduler configuration, its timesteps set."""
    import diffusers

    overrides: dict[str, Any] = {}
    if config.sampler == "ddim":
        kind: Any = diffusers.DDIMScheduler
    elif config.sampler == "ddpm":
        kind = diffusers.DDPMScheduler
    elif config.sampler == "pndm":
        kind = diffusers.PNDMScheduler
    else:
        kind = diffusers.DPMSolverMultistepScheduler
        overrides["algorithm_type"] = "dpmsolver++"
    known = set(kind().config)
    accepted = {name: value for name, value in denoiser.scheduler_config.items() if name in known}
    scheduler = kind.from_config(accepted, **overrides)
    scheduler.set_timesteps(config.sampler_steps)
    return scheduler


@torch.inference_mode()
def sample_latents(
    denoiser: Denoiser,
    config: SamplerConfig,
    noise: Tensor,
    conditioning: Conditioning,
    generators: list[torch.Generator] | None = None,
) -> Tensor:
    """From ``x_T`` to ``x_0``: one network call a step.

    Args:
        denoiser: any denoiser, the routed ensemble too.
        config: sampler and steps.
        noise: standard normal ``(B, *sample_shape)``.
        conditioning: tensors of leading size ``B``.
        generators: one per image, for samplers that add noise at each step.

    Returns:
        ``(B, *sample_shape)``, on the denoiser's device.

    """
    scheduler = build_scheduler(denoiser, config)
    x_t = noise.to(denoiser.device) * scheduler.init_noise_sigma
    extra: dict[str, Any] = {}
    if config.sampler == "ddim" and config.eta:
        extra = {"eta": config.eta, "generator": generators}
    elif config.sampler == "ddpm":
        extra = {"generator": generators}
    for timestep in scheduler.timesteps:
        t = timestep.to(x_t.device).long().expand(len(x_t))
        output = denoiser.predict(scheduler.scale_model_input(x_t, timestep), t, conditioning)
        x_t = scheduler.step(output, timestep, x_t, return_dict=False, **extra)[0]
    return x_t
