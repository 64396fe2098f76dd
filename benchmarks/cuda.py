"""On a CUDA device: correctness and speed of what a CPU cannot show.

Training steps of the ddpm-cifar10-32 architecture in float32, bfloat16 and compiled, each against
float32 in the same run; sampling in the same way; and the folded expert against the unfolded one.
It ends with an error where a result is wrong, and says so where there is no such device.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from timing import against, interleaved, show

from deme.data import MemorySource
from deme.decouple import TimestepRange, TimestepSampler, TrainingJob, train_expert
from deme.decouple.config import TrainingConfig
from deme.denoisers import Denoiser, ModelConfig, load_denoiser
from deme.generate import ImageRequest, SamplerConfig, generate_images

STEPS = 60
BATCH = 128


def train(base: Denoiser, teacher: Denoiser, source: MemorySource, **settings: object) -> float:
    """Trains an expert for a few steps; returns its last loss."""
    AcceleratorState._reset_state(reset_partial_state=True)
    config = TrainingConfig.model_validate({"steps": STEPS, "batch_size": BATCH, **settings})
    job = TrainingJob(
        name="probe",
        pretrained=base,
        source=source,
        timesteps=TimestepSampler(TimestepRange(0, 250), 1000, p=0.4),
        config=config,
        placement="foldable",
        teacher=teacher,
        consistency=1.0,
        seed=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        accelerator = Accelerator(mixed_precision=config.mixed_precision)
        result = train_expert(job, Path(folder), accelerator, checkpointing_steps=STEPS)
        torch.cuda.synchronize()
    return result.losses[-1]["loss"]


def main() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device here: run this where there is one")
    with tempfile.TemporaryDirectory() as folder:
        config = ModelConfig(path="google/ddpm-cifar10-32", random_weights=True)
        base = load_denoiser(config, cache_folder=Path(folder)).to("cuda")
    teacher = base.clone()
    teacher.network.to(torch.bfloat16)
    pixels = torch.randint(0, 256, (4096, 3, 32, 32), dtype=torch.uint8)
    source = MemorySource.from_images(pixels)
    settings: dict[str, dict[str, object]] = {
        "float32": {"mixed_precision": "no"},
        "bfloat16": {"mixed_precision": "bf16"},
        "bfloat16, compiled": {"mixed_precision": "bf16", "compile": True},
    }
    losses = {name: train(base, teacher, source, **kind) for name, kind in settings.items()}
    for name, loss in losses.items():
        if abs(loss - losses["float32"]) > 0.05 * losses["float32"]:
            raise SystemExit(f"{name} ends at loss {loss}, float32 at {losses['float32']}")
    contestants = {
        name: (lambda kind=kind: train(base, teacher, source, **kind))
        for name, kind in settings.items()
    }
    rows = against("float32", interleaved(contestants, repeats=3))
    for name in rows:
        rows[name]["images/s"] = STEPS * BATCH / rows[name]["seconds"]
    sampler = SamplerConfig(sampler="ddim", sampler_steps=10, sample_batch_size=256)
    drawn = {
        device: generate_images(base.to(device), ImageRequest(sampler, 0, 8))
        for device in ("cpu", "cuda")
    }
    difference = (drawn["cpu"].int() - drawn["cuda"].int()).abs().float().mean()
    rows["sampling, cuda against cpu"] = {"mean difference in grey levels": float(difference)}
    show(f"{torch.cuda.get_device_name(0)}, ddpm-cifar10-32, batch {BATCH}", rows)


if __name__ == "__main__":
    main()
