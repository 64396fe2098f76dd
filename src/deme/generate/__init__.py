"""Generate: image sets from a denoiser, one seed per image.

==========================  ====================================================================
:class:`SamplerConfig`      which of diffusers' samplers, how many steps
:func:`sample_latents`      the sampling loop: one network call a step
:func:`generate_images`     images by index, in memory
:class:`ImageFolder`        images by index on disk: sharded, resumable, over many processes
==========================  ====================================================================
"""

from .config import SamplerConfig
from .folder import ImageFolder
from .images import ImageRequest, generate_images, initial_noise
from .sampler import build_scheduler, sample_latents

__all__ = [
    "ImageFolder",
    "ImageRequest",
    "SamplerConfig",
    "build_scheduler",
    "generate_images",
    "initial_noise",
    "sample_latents",
]
