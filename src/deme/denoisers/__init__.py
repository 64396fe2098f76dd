"""Denoisers: what is being improved.

=======================  =====================================================================
:class:`Denoiser`        the contract: predicts from ``(x_t, t, conditioning)``; all else knows it
:class:`NoiseSchedule`   ``α_t``, ``σ_t`` and SNR over t, and the four kinds of prediction
:class:`UNet2DDenoiser`  pixel-space ``UNet2DModel`` pipelines, with classes or without
:class:`RoutedDenoiser`  an expert per timestep range: the ensemble before merging
:func:`load_denoiser`    a pipeline folder or hub id to a denoiser, by its own description
=======================  =====================================================================
"""

from typing import TYPE_CHECKING, Any

from .contract import Conditioning, Denoiser
from .loading import ModelConfig, load_denoiser
from .routed import RoutedDenoiser
from .schedule import NoiseSchedule, Prediction

if TYPE_CHECKING:
    from .unet2d import UNet2DDenoiser

__all__ = [
    "Conditioning",
    "Denoiser",
    "ModelConfig",
    "NoiseSchedule",
    "Prediction",
    "RoutedDenoiser",
    "UNet2DDenoiser",
    "load_denoiser",
]


def __getattr__(name: str) -> Any:
    """Imports a family's adapter when it is first used: diffusers takes seconds to import."""
    if name != "UNet2DDenoiser":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .unet2d import UNet2DDenoiser

    return UNet2DDenoiser
