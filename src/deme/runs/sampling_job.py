"""Images from any pipeline to a folder of PNGs, over as many processes as were launched."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState
from torch import Tensor

from ..config import parse_config
from ..decouple import open_pipeline
from ..denoisers import Denoiser
from ..errors import ConfigError
from ..files import hash_value, remove
from ..generate import ImageFolder, ImageRequest, SamplerConfig
from ..merge import StateDict
from .progress import Reporter


@dataclass(frozen=True)
class SampleJob:
    """What ``deme sample`` was asked for."""

    model: str
    images: int
    sampler: str
    steps: int
    seed: int
    label: int | None
    batch_size: int


def sample_to_folder(job: SampleJob, output: Path, reporter: Reporter) -> None:
    """Draws the images; each process makes its share of the shards, the main one writes PNGs."""
    config = parse_config(
        SamplerConfig,
        {
            "sampler": job.sampler,
            "sampler_steps": job.steps,
            "sample_batch_size": job.batch_size,
        },
    )
    state = PartialState()
    denoiser = open_pipeline(job.model).to(state.device or "cpu")
    weights = StateDict(denoiser.weights(), job.model).digest()
    request = ImageRequest(config, job.seed, job.images, _labels(denoiser, job))
    key = hash_value({**dataclasses.asdict(job), "model": weights})[:12]
    shards = ImageFolder(output / f".shards-{key}", job.images, shard_size=job.batch_size)
    with reporter.bar("sample", job.images) as bar:
        shards.generate(
            denoiser,
            request,
            rank=state.process_index,
            world=state.num_processes,
            on_progress=bar.advance,
        )
    state.wait_for_everyone()
    if state.is_main_process:
        shards.save_png(output)
        _save_grid(shards.images()[:64], output / "grid.png")
        remove(shards.path)


def _labels(denoiser: Denoiser, job: SampleJob) -> Tensor | None:
    if denoiser.num_classes is None:
        if job.label is not None:
            raise ConfigError(f"{job.model} takes no class labels", fix="leave --label out")
        return None
    if job.label is not None:
        return torch.full((job.images,), job.label)
    return torch.arange(job.images) % denoiser.num_classes


def _save_grid(images: Tensor, path: Path) -> None:
    from PIL import Image

    from ..analysis import image_grid

    Image.fromarray(image_grid(images.numpy())).save(path)
