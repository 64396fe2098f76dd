"""A merge of small models in a folder, long enough to be stopped in its midst."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from deme.merge.job import MergeJob, MergeRequest

EXPERTS = 3
SHAPES = [(256, 256, 3, 3)] * 8 + [(256,)] * 8


def write_models(folder: Path) -> None:
    """Random weights: a base ``model0`` and experts ``model1``, …, as component folders."""
    base = {f"layer.{i}.weight": torch.randn(shape) for i, shape in enumerate(SHAPES)}
    for index in range(EXPERTS + 1):
        home = folder / f"model{index}"
        home.mkdir()
        (home / "config.json").write_text('{"_class_name": "UNet2DModel"}')
        weights = {k: v + 0.01 * index * torch.randn_like(v) for k, v in base.items()}
        save_file(weights, home / "diffusion_pytorch_model.safetensors")


def run_merge(folder: Path, output: str, weights: tuple[str, ...] = ()) -> None:
    """Merges by TIES in one thread, over what is there; for a process of its own."""
    torch.set_num_threads(1)
    request = MergeRequest(
        base=str(folder / "model0"),
        experts=tuple(str(folder / f"model{index + 1}") for index in range(EXPERTS)),
        weights=weights,
        merge_method="ties",
        parameters=("density=0.5",),
    )
    MergeJob(request, folder / output, overwrite=True, workers=1).run()
