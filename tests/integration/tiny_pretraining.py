"""A whole pretraining, tiny: on the bundled digits in a second or two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import yaml

from conftest import TINY_UNET
from deme.config import parse_config
from deme.runs.pretrain import Pretraining, run_pretraining
from deme.runs.pretrain_spec import PretrainSpec
from deme.runs.progress import Reporter

TINY: dict[str, Any] = {
    "name": "tiny",
    "model": {"architecture": {**TINY_UNET, "block_out_channels": [8, 8]}},
    "data": {"dataset": "digits", "max_images": 64},
    "training": {"steps": 6, "batch_size": 8, "learning_rate": 1e-3, "lr_scheduler": "cosine"},
    "samples": {"images": 4, "sampler_steps": 2},
    "runtime": {"device": "cpu", "threads": 1, "checkpointing_steps": 2},
}
MEASURED: dict[str, Any] = {
    "detector": "digits",
    "evaluate": {"images": 24, "sampler_steps": 2, "seeds": [1, 2], "metrics": ["frechet"]},
}


def pretraining_of(output: Path, **values: Any) -> Pretraining:
    """A pretraining, quiet."""
    spec = parse_config(PretrainSpec, {**TINY, **values})
    return Pretraining(spec, output, Reporter(quiet=True))


def write_tiny(path: Path, **values: Any) -> Path:
    """The same as a file."""
    plain = {**TINY, **values}
    lists = {key: list(v) if isinstance(v, tuple) else v for key, v in TINY_UNET.items()}
    plain["model"] = {"architecture": lists}
    path.write_text(yaml.safe_dump(plain))
    return path


def run_tiny_pretraining(output: Path) -> None:
    """For a process of its own: long enough to be killed in."""
    torch.set_num_threads(1)
    training = {**TINY["training"], "steps": 80}
    runtime = {**TINY["runtime"], "checkpointing_steps": 20}
    run_pretraining(pretraining_of(output, training=training, runtime=runtime))
