"""Statistics of an expert on disk: what ``deme statistics`` does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import ConfigError
from ..methods.registry import Statistics
from .collecting import collect_statistics
from .expert_statistics import ExpertStatistics
from .files import write_statistics

if TYPE_CHECKING:  # training's libraries are needed only where statistics are collected
    from ...data import DataConfig


def statistics_to_file(
    expert: str,
    data: DataConfig,
    output: Path,
    *,
    kind: Statistics,
    min_timestep: int | None = None,
    max_timestep: int | None = None,
    samples: int = 256,
    batch_size: int = 8,
    seed: int = 0,
    max_features: int = 4096,
    progress: Callable[[int], None] | None = None,
) -> ExpertStatistics:
    """Opens an expert and its images, collects its statistics and writes them to ``output``.

    Args:
        expert: a pipeline folder or hub id.
        data: the images; they are decoded when they are used, as few are.
        output: the safetensors file; one that is there is replaced when all is done.
        kind: ``fisher`` or ``regmean``.
        min_timestep: first timestep of the range that the expert owns. Where neither end is
            given, its trainer's record says the range; without one it is all timesteps.
        max_timestep: the range's end, not included; None is the model's.
        samples: see :func:`~deme.merge.statistics.collect_statistics`, as are the others.
        batch_size: samples in one forward pass.
        seed: what the draws derive from.
        max_features: layers of more inputs get no Gram matrix.
        progress: called with the number of finished samples.

    Raises:
        ConfigError: a setting out of its range, or an output that is a folder.
        ModelError: not a pipeline.
        DataError: images that cannot be used.
        StorageError: a file cannot be read or written.

    """
    from accelerate import PartialState

    from ...data import load_images
    from ...decouple import TimestepRange, open_pipeline
    from ..ownership import owned_timesteps
    from ..sources.opening import open_model

    if output.is_dir():
        raise ConfigError(f"{output} is a folder", fix="give a file: -o statistics.safetensors")
    denoiser = open_pipeline(expert)
    if min_timestep is None and max_timestep is None:
        min_timestep, max_timestep = owned_timesteps(open_model(expert))
    end = denoiser.schedule.num_timesteps if max_timestep is None else max_timestep
    timesteps = TimestepRange(min_timestep or 0, end)
    images = load_images(
        data.model_copy(update={"cache": "stream"}),
        channels=denoiser.image_channels,
        resolution=denoiser.resolution,
        cache_folder=output.parent,  # nothing is cached there: images are streamed
        progress=False,
    )
    statistics = collect_statistics(
        denoiser.to(PartialState().device or "cpu"),
        images,
        timesteps,
        kind=kind,
        samples=samples,
        batch_size=batch_size,
        seed=seed,
        max_features=max_features,
        progress=progress,
    )
    write_statistics(statistics, output)
    return statistics
