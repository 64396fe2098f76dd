"""deme: make a pretrained diffusion model better at no inference cost.

Decouple-then-Merge (Ma et al., CVPR 2025, arXiv:2410.06664): finetune one expert per timestep
range, each protected from forgetting; merge the experts' weight differences back into one stock
model, with merging weights that are searched for.

The nouns below are imported when first used, so ``import deme`` stays light. For all of it as one
command: ``deme run my.yaml``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import DemeError

if TYPE_CHECKING:
    from .data import DataConfig, ImageSource, load_images
    from .decouple import (
        ChannelProjection,
        DecoupleConfig,
        Partition,
        TimestepRange,
        TimestepSampler,
        attach_projections,
        expert_loss,
        fold_projections,
        train_expert,
        validation_losses,
    )
    from .denoisers import Denoiser, NoiseSchedule, RoutedDenoiser, load_denoiser
    from .generate import ImageRequest, SamplerConfig, generate_images
    from .merge import (
        InPlaceMerger,
        StateDict,
        TaskVector,
        merge,
        merge_method,
        merge_weights,
        open_merger,
    )
    from .metrics import FeatureStatistics, FrechetReference, load_detector
    from .runs import RunSpec, load_spec, run_job
    from .search import (
        Box,
        Evaluation,
        FrechetObjective,
        MomentSurface,
        Strategy,
        SurfaceStrategy,
        search_weights,
    )

__version__ = "0.1.0"

_HOMES = {
    "data": ("DataConfig", "ImageSource", "load_images"),
    "decouple": (
        "ChannelProjection",
        "DecoupleConfig",
        "Partition",
        "TimestepRange",
        "TimestepSampler",
        "attach_projections",
        "expert_loss",
        "fold_projections",
        "train_expert",
        "validation_losses",
    ),
    "denoisers": ("Denoiser", "NoiseSchedule", "RoutedDenoiser", "load_denoiser"),
    "generate": ("ImageRequest", "SamplerConfig", "generate_images"),
    "merge": (
        "InPlaceMerger",
        "StateDict",
        "TaskVector",
        "merge_method",
        "merge_weights",
        "open_merger",
    ),
    "metrics": ("FeatureStatistics", "FrechetReference", "load_detector"),
    "runs": ("RunSpec", "load_spec", "run_job"),
    "search": (
        "Box",
        "Evaluation",
        "FrechetObjective",
        "MomentSurface",
        "Strategy",
        "SurfaceStrategy",
        "search_weights",
    ),
}
_ROOM_OF = {name: room for room, names in _HOMES.items() for name in names}

__all__ = [
    "Box",
    "ChannelProjection",
    "DataConfig",
    "DecoupleConfig",
    "DemeError",
    "Denoiser",
    "Evaluation",
    "FeatureStatistics",
    "FrechetObjective",
    "FrechetReference",
    "ImageRequest",
    "ImageSource",
    "InPlaceMerger",
    "MomentSurface",
    "NoiseSchedule",
    "Partition",
    "RoutedDenoiser",
    "RunSpec",
    "SamplerConfig",
    "StateDict",
    "Strategy",
    "SurfaceStrategy",
    "TaskVector",
    "TimestepRange",
    "TimestepSampler",
    "attach_projections",
    "expert_loss",
    "fold_projections",
    "generate_images",
    "load_denoiser",
    "load_detector",
    "load_images",
    "load_spec",
    "merge",
    "merge_method",
    "merge_weights",
    "open_merger",
    "run_job",
    "search_weights",
    "train_expert",
    "validation_losses",
]


def __getattr__(name: str) -> Any:
    """Imports a public noun from its room, or a room, when it is first used."""
    if name in _HOMES:  # the room itself; ``deme.merge`` can be called as well
        return importlib.import_module(f".{name}", __name__)
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'deme' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_ROOM_OF[name]}", __name__), name)
