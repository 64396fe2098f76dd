"""The sampling loop over diffusers' own schedulers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..denoisers import Conditioning, Denoiser
from ..errors import ConfigError, ModelError
from .config import SamplerConfig

RUNGE_KUTTA_STEPS = 4
"""PNDM starts with so many Runge-Kutta steps, of several network calls each."""


def build_scheduler(denoiser: Denoiser, config: SamplerConfig) -> Any:
    """A diffusers scheduler from the pipeline's scheduler configuration, its timesteps set.

    Raises:
        ConfigError: the sampler cannot take so many or so few steps.
        ModelError: the sampler does not know what the model predicts.

    """
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
    _check(denoiser, config, scheduler)
    scheduler.set_timesteps(config.sampler_steps)
    return scheduler


def _check(denoiser: Denoiser, config: SamplerConfig, scheduler: Any) -> None:
    """What diffusers would say late, or not at all."""
    is_pndm = config.sampler == "pndm"
    total = denoiser.schedule.num_timesteps
    least = RUNGE_KUTTA_STEPS if is_pndm and not scheduler.config["skip_prk_steps"] else 1
    if not least <= config.sampler_steps <= total:
        raise ConfigError(
            f"sampler_steps {config.sampler_steps} cannot be done by {config.sampler} on "
            f"{denoiser.name}",
            fix=f"give sampler_steps from {least} to {total}",
        )
    if is_pndm and denoiser.prediction not in ("epsilon", "v"):
        raise ModelError(
            f"pndm cannot sample from {denoiser.name}, which predicts {denoiser.prediction!r}",
            choices=("ddim", "ddpm", "dpmsolver++"),
            fix="choose another sampler",
        )


@torch.inference_mode()
def sample_latents(
    denoiser: Denoiser,
    config: SamplerConfig,
    noise: Tensor,
    conditioning: Conditioning,
    generators: list[torch.Generator] | None = None,
) -> Tensor:
    """From ``x_T`` to ``x_0``: one network call for each of the scheduler's timesteps.

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
