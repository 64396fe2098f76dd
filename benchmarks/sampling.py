"""Sampling: our loop against diffusers' own pipeline, and a merged model against its base."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import cast

import torch
from diffusers import DDIMPipeline, DDIMScheduler, DiffusionPipeline
from timing import against, interleaved, show

from deme.assets import DIGITS_PIPELINE
from deme.denoisers import load_denoiser
from deme.generate import ImageRequest, SamplerConfig, generate_images
from deme.merge import InPlaceMerger, StateDict, TaskVector

IMAGES = 256
STEPS = 20


def pipeline_of(folder: Path) -> DDIMPipeline:
    """The stock pipeline with a DDIM scheduler, silent."""
    loaded = DiffusionPipeline.from_pretrained(folder)
    scheduler = cast(DDIMScheduler, DDIMScheduler.from_config(loaded.scheduler.config))
    pipeline = DDIMPipeline(loaded.unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(pipeline: DDIMPipeline) -> object:
    """One batch by diffusers' own loop."""
    with contextlib.redirect_stderr(open(os.devnull, "w")):  # its notices
        return pipeline(batch_size=IMAGES, num_inference_steps=STEPS, output_type="np")


def main() -> None:
    base = load_denoiser("digits")
    weights = {name: tensor.clone() for name, tensor in base.weights().items()}
    theta = StateDict(weights, "base")
    nudged = StateDict({name: tensor * 1.001 for name, tensor in weights.items()}, "nudged")
    merger = InPlaceMerger(base.clone(), theta, [TaskVector.between(theta, nudged)])
    merged = merger([0.5])
    config = SamplerConfig(sampler="ddim", sampler_steps=STEPS, sample_batch_size=IMAGES)
    request = ImageRequest(config, seed=0, count=IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        merged.save(Path(folder))
        stock, stock_merged = pipeline_of(DIGITS_PIPELINE), pipeline_of(Path(folder))
        medians = interleaved(
            {
                "diffusers, pretrained": lambda: sample(stock),
                "diffusers, merged": lambda: sample(stock_merged),
                "deme, pretrained": lambda: generate_images(base, request),
                "deme, switching weights": lambda: merger([0.25]),
            },
            repeats=7,
        )
    title = f"Sampling {IMAGES} digits, DDIM {STEPS}, {torch.get_num_threads()} threads"
    show(title, against("diffusers, pretrained", medians))


if __name__ == "__main__":
    main()
